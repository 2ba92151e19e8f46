package gcp

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxCredentials bounds a credentials file; real ones have 2 KB.
const maxCredentials = 64 << 10

// scope is what the driver asks for.
const scope = "https://www.googleapis.com/auth/compute"

// keyFile is what the driver itself reads of a credentials file.
type keyFile struct {
	Type         string `json:"type"`
	TokenURI     string `json:"token_uri"`
	Email        string `json:"client_email"`
	Key          string `json:"private_key"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
}

// newCredentials reads the credentials; tokens are asked for through transport,
// when the first call needs one. Errors never quote a value.
func newCredentials(cfg Config, transport http.RoundTripper) (*auth.Credentials, error) {
	opts := &credentials.DetectOptions{Scopes: []string{scope}, Client: &http.Client{Transport: transport}}
	if cfg.Ambient {
		c, err := credentials.DetectDefault(opts)
		if err != nil {
			return nil, fmt.Errorf("gcp credentials: %w: %w", cloud.ErrAuth, err)
		}
		return c, nil
	}
	fail := func(format string, args ...any) (*auth.Credentials, error) {
		return nil, fmt.Errorf("gcp credentials: %w: %s", cloud.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(cfg.Credentials) > maxCredentials {
		return fail("%d bytes, at most %d", len(cfg.Credentials), maxCredentials)
	}
	var f keyFile
	if err := json.Unmarshal(cfg.Credentials, &f); err != nil {
		return fail("want the JSON of Google's application default credentials")
	}
	// The other types that there are make the library fetch from, or run, what
	// the file says.
	switch credentials.CredType(f.Type) {
	case credentials.ServiceAccount:
		if f.Email == "" || !isKey(f.Key) {
			return fail("service_account: client_email and private_key, an RSA key in PEM, are needed")
		}
	case credentials.AuthorizedUser:
		if f.ClientID == "" || f.ClientSecret == "" || f.RefreshToken == "" {
			return fail("authorized_user: client_id, client_secret and refresh_token are needed")
		}
		opts.TokenURL = f.TokenURI
	default:
		return fail("type %.40q: want service_account or authorized_user", f.Type)
	}
	c, err := credentials.NewCredentialsFromJSON(credentials.CredType(f.Type), cfg.Credentials, opts)
	if err != nil {
		return fail("%s: the file is not complete", f.Type)
	}
	return c, nil
}

// isKey reports whether a text is a private RSA key as Google gives them out.
func isKey(text string) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, ok := key.(*rsa.PrivateKey)
	return err == nil && ok
}

// projectOf returns the project that credentials belong to, or else the one
// that their use is counted against, "" for none.
func projectOf(ctx context.Context, c *auth.Credentials) string {
	if p, err := c.ProjectID(ctx); err == nil && p != "" {
		return p
	}
	p, _ := c.QuotaProjectID(ctx) // none is as good
	return p
}

// errNoToken says that credentials gave no token.
var errNoToken = errors.New("no token for the credentials")

// bearer gives requests the token of the credentials.
type bearer struct {
	creds *auth.Credentials
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := b.creds.Token(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, fmt.Errorf("%w: %w", errNoToken, err)
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.Value)
	req.Header.Set("User-Agent", "cbnet")
	return b.next.RoundTrip(req)
}
