package alibaba_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
)

// configJSON is a config.json as the Aliyun CLI writes it.
func configJSON(mode, id, secret, token string) string {
	return fmt.Sprintf(`{
	"current": "here",
	"profiles": [
		{"name": "default", "mode": "AK", "access_key_id": "", "access_key_secret": "", "region_id": ""},
		{"name": "here", "mode": %q, "access_key_id": %q, "access_key_secret": %q, "sts_token": %q, "region_id": "eu-central-1",
		 "output_format": "json", "language": "en", "site": "", "retry_timeout": 0, "connect_timeout": 0}
	],
	"meta_path": ""
}`, mode, id, secret, token)
}

// seen notes what a driver signs with, and answers nothing.
type seen struct{ key, token, region, host string }

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	*s = seen{q.Get("AccessKeyId"), q.Get("SecurityToken"), q.Get("RegionId"), r.URL.Scheme + "://" + r.Host}
	return nil, errors.New("no network here")
}

func TestCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  alibaba.Config
		want seen
	}{
		"key":             {alibaba.Config{Credentials: []byte(configJSON("AK", "LTAI", "s", ""))}, seen{"LTAI", "", "eu-central-1", "https://ecs.eu-central-1.aliyuncs.com"}},
		"temporary key":   {alibaba.Config{Credentials: []byte(configJSON("StsToken", "STS.A", "s", "tok"))}, seen{"STS.A", "tok", "eu-central-1", "https://ecs.eu-central-1.aliyuncs.com"}},
		"region given":    {alibaba.Config{Region: "cn-hangzhou", Credentials: []byte(configJSON("AK", "LTAI", "s", ""))}, seen{"LTAI", "", "cn-hangzhou", "https://ecs-cn-hangzhou.aliyuncs.com"}},
		"endpoint given":  {alibaba.Config{Endpoint: "http://127.0.0.1:9/x", Credentials: []byte(configJSON("AK", "LTAI", "s", ""))}, seen{"LTAI", "", "eu-central-1", "http://127.0.0.1:9"}},
		"the one profile": {alibaba.Config{Credentials: []byte(`{"profiles": [{"access_key_id": "LTAI", "access_key_secret": "s"}]}`)}, seen{"LTAI", "", "cn-hangzhou", "https://ecs-cn-hangzhou.aliyuncs.com"}},
	} {
		got := &seen{}
		tc.cfg.Transport = got
		if _, err := newDriver(t, tc.cfg).Regions(t.Context()); !errors.Is(err, cloud.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if *got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, *got, tc.want)
		}
	}
}

func TestCredentialsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":               "",
		"not JSON":              "access_key_secret = hidden",
		"half":                  `{"profiles": [{"access_key_secret": "hidden"`,
		"no profile":            `{"current": "x", "profiles": []}`,
		"none is current":       `{"profiles": [{"name": "a", "access_key_secret": "hidden"}, {"name": "b"}]}`,
		"the current is absent": `{"current": "c", "profiles": [{"name": "a", "access_key_id": "x", "access_key_secret": "hidden"}]}`,
		"no key":                configJSON("AK", "", "hidden", ""),
		"no token":              configJSON("StsToken", "STS.A", "hidden", ""),
		"another mode":          configJSON("RamRoleArn", "LTAI", "hidden", ""),
		"a line break":          configJSON("AK", "LTAI", "hidden\n", ""),
		"too long":              strings.Repeat(" ", 300<<10),
	} {
		d, err := alibaba.New(t.Context(), alibaba.Config{Credentials: []byte(text)})
		if d != nil || !errors.Is(err, cloud.ErrInvalid) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v and %v", name, d, err)
		}
	}
	for _, endpoint := range []string{"host", "ftp://host", "http://"} {
		if _, err := alibaba.New(t.Context(), alibaba.Config{Endpoint: endpoint, Credentials: []byte(configJSON("AK", "a", "b", ""))}); !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
}

// TestAmbient finds credentials where the vendor's tools have them.
func TestAmbient(t *testing.T) {
	for _, v := range []string{"ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "REGION_ID", "CREDENTIALS_URI", "OIDC_TOKEN_FILE", "ROLE_ARN", "OIDC_PROVIDER_ARN", "PROFILE", "CREDENTIALS_FILE"} {
		t.Setenv("ALIBABA_CLOUD_"+v, "")
	}
	t.Setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
	home := t.TempDir()
	t.Setenv("HOME", home)
	ask := func() (seen, error) {
		got := &seen{}
		d, err := alibaba.New(t.Context(), alibaba.Config{Ambient: true, Transport: got})
		if err != nil {
			return seen{}, err
		}
		_, err = d.Regions(t.Context())
		if !errors.Is(err, cloud.ErrUnavailable) {
			t.Error(err)
		}
		return *got, nil
	}
	if _, err := ask(); !errors.Is(err, cloud.ErrAuth) {
		t.Errorf("without any: %v", err)
	}
	file := filepath.Join(home, ".aliyun", "config.json")
	write := func(text string) {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(configJSON("AK", "LTAIFILE", "s", ""))
	if got, err := ask(); err != nil || got.key != "LTAIFILE" {
		t.Errorf("from the CLI's file: %+v, %v", got, err)
	}
	write(`{"profiles": "hidden`)
	if _, err := ask(); !errors.Is(err, cloud.ErrAuth) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("from a broken file: %v", err)
	}
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIENV")
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s")
	t.Setenv("ALIBABA_CLOUD_REGION_ID", "us-west-1")
	if got, err := ask(); err != nil || got.key != "LTAIENV" || got.region != "us-west-1" {
		t.Errorf("from the environment: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := alibaba.New(ctx, alibaba.Config{Ambient: true}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
