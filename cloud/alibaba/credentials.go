package alibaba

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxCredentials bounds a credentials file; real ones have a few kilobytes.
const maxCredentials = 256 << 10

// findCredentials sets the driver's credentials, and its region if it has none
// and they tell one.
func (d *Driver) findCredentials(ctx context.Context, cfg Config) error {
	if cfg.Ambient {
		d.region = cmp.Or(d.region, os.Getenv("ALIBABA_CLOUD_REGION_ID"))
		return d.ambient(ctx)
	}
	p, err := parseCredentials(cfg.Credentials)
	if err != nil {
		return err
	}
	d.region = cmp.Or(d.region, p.Region)
	if p.Mode == "StsToken" {
		d.creds = credentials.NewStaticSTSCredentialsProvider(p.ID, p.Secret, p.Token)
	} else {
		d.creds = credentials.NewStaticAKCredentialsProvider(p.ID, p.Secret)
	}
	return nil
}

// ambient takes the SDK's default chain, if it finds anything.
func (d *Driver) ambient(ctx context.Context) error {
	chain := &oneByOne{next: credentials.NewDefaultCredentialsProvider()}
	found := make(chan error, 1)
	go func() { // the SDK knows no contexts; it gives up by itself after seconds
		_, err := chain.GetCredentials()
		found <- err
	}()
	select {
	case err := <-found:
		if err != nil {
			// Its text may hold the whole of a profile file, secrets included.
			return fmt.Errorf("alibaba credentials: %w: none in the environment (ALIBABA_CLOUD_ACCESS_KEY_ID), in ~/.aliyun/config.json, in ~/.alibabacloud/credentials, nor of an instance role", cloud.ErrAuth)
		}
	case <-ctx.Done():
		return fmt.Errorf("alibaba credentials: %w: %w", cloud.ErrAuth, ctx.Err())
	}
	d.creds = chain
	return nil
}

// oneByOne makes a provider safe for concurrent use; the SDK's chain is not.
type oneByOne struct {
	mu   sync.Mutex // held while next is asked
	next credentials.CredentialsProvider
}

// GetCredentials implements credentials.CredentialsProvider.
func (o *oneByOne) GetCredentials() (*credentials.Credentials, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next.GetCredentials()
}

// GetProviderName implements credentials.CredentialsProvider.
func (o *oneByOne) GetProviderName() string { return o.next.GetProviderName() }

// profile is one entry of the CLI's config.json; the format has many more keys.
type profile struct {
	Name   string `json:"name"`
	Mode   string `json:"mode"`
	ID     string `json:"access_key_id"`
	Secret string `json:"access_key_secret"`
	Token  string `json:"sts_token"`
	Region string `json:"region_id"`
}

// parseCredentials reads the current profile of the CLI's config.json, or its
// only one. Errors wrap cloud.ErrInvalid and never quote a value.
func parseCredentials(data []byte) (profile, error) {
	fail := func(format string, args ...any) (profile, error) {
		return profile{}, fmt.Errorf("alibaba credentials: %w: %s", cloud.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(data) > maxCredentials {
		return fail("%d bytes, at most %d", len(data), maxCredentials)
	}
	var file struct {
		Current  string    `json:"current"`
		Profiles []profile `json:"profiles"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &file); err != nil {
		return fail("want the JSON of ~/.aliyun/config.json") // err may quote
	}
	i := slices.IndexFunc(file.Profiles, func(p profile) bool { return p.Name == file.Current })
	switch {
	case i >= 0:
	case file.Current != "":
		return fail("the current profile %q is not there", file.Current)
	case len(file.Profiles) == 1:
		i = 0
	case len(file.Profiles) == 0:
		return fail("no profile")
	default:
		return fail("several profiles and none is current")
	}
	p := file.Profiles[i]
	switch {
	case p.Mode != "" && p.Mode != "AK" && p.Mode != "StsToken":
		return fail("profile %q: mode %q: want AK or StsToken; other modes work from the environment's own files", p.Name, p.Mode)
	case p.ID == "" || p.Secret == "":
		return fail("profile %q: access_key_id and access_key_secret are needed", p.Name)
	case p.Mode == "StsToken" && p.Token == "":
		return fail("profile %q: sts_token is needed", p.Name)
	case strings.ContainsFunc(p.ID+p.Secret+p.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fail("profile %q: a key holds something else than visible ASCII", p.Name)
	}
	return p, nil
}
