package gcp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// pemOf returns a private key as key files have it.
func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func file(t *testing.T, m map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCredentials(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	account := func(change ...string) []byte {
		m := map[string]string{"type": "service_account", "project_id": "own", "client_email": "a@b", "private_key": pemOf(t, rsaKey)}
		for i := 0; i < len(change); i += 2 {
			m[change[i]] = change[i+1]
		}
		return file(t, m)
	}
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}))
	for _, tc := range []struct {
		name    string
		cfg     Config
		project string
		fault   string
	}{
		{"service account", Config{Credentials: account()}, "own", ""},
		{"an older key", Config{Credentials: account("private_key", pkcs1)}, "own", ""},
		{"another project", Config{Credentials: account(), Project: "other"}, "other", ""},
		{"user", Config{Credentials: user3("http://h")}, "p", ""},
		{"no project", Config{Credentials: account("project_id", "")}, "", "name no project"},
		{"no key", Config{Credentials: account("private_key", "")}, "", "private_key"},
		{"no PEM", Config{Credentials: account("private_key", "hidden")}, "", "private_key"},
		{"another kind of key", Config{Credentials: account("private_key", pemOf(t, ecKey))}, "", "RSA"},
		{"no mail", Config{Credentials: account("client_email", "")}, "", "client_email"},
		{"user without a token", Config{Credentials: []byte(`{"type": "authorized_user", "client_id": "hidden"}`)}, "", "refresh_token"},
		{"runs a program", Config{Credentials: []byte(`{"type": "external_account", "credential_source": {"executable": {"command": "hidden"}}}`)}, "", `"external_account"`},
		{"no type", Config{Credentials: []byte(`{"private_key": "hidden"}`)}, "", "want service_account"},
		{"no JSON", Config{Credentials: []byte("hidden")}, "", "want the JSON"},
		{"too long", Config{Credentials: make([]byte, maxCredentials+1)}, "", "at most"},
		{"endpoint", Config{Credentials: account(), Endpoint: "host:1"}, "", "endpoint"},
	} {
		d, err := New(t.Context(), tc.cfg)
		switch {
		case tc.fault == "" && (err != nil || d.project != tc.project):
			t.Errorf("%s: got %+v and %v", tc.name, d, err)
		case tc.fault != "" && (!errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), "hidden")):
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.fault)
		}
	}
}

// TestAmbient finds the file that the environment names, and its project, unless
// the environment names that too.
func TestAmbient(t *testing.T) {
	tokens := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			tokens++
			fmt.Fprint(w, `{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}`)
			return
		}
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/compute/v1/projects/own/regions" {
			t.Errorf("%s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		fmt.Fprint(w, `{"kind": "compute#regionList", "items": [{"name": "r", "zones": ["z/r-a"]}]}`)
	}))
	t.Cleanup(srv.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	data := file(t, map[string]string{"type": "service_account", "project_id": "own", "client_email": "a@b", "private_key": pemOf(t, key), "token_uri": srv.URL + "/token"})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	t.Setenv("GOOGLE_CLOUD_PROJECT", "")
	d, err := New(t.Context(), Config{Ambient: true, Endpoint: srv.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		regions, err := d.Regions(t.Context())
		if err != nil || len(regions) != 1 || regions[0].Zones[0] != "r-a" {
			t.Errorf("got %v and %v", regions, err)
		}
	}
	if tokens != 1 {
		t.Errorf("%d tokens for two calls", tokens)
	}
	t.Setenv("GOOGLE_CLOUD_PROJECT", "from-the-environment")
	if d, err = New(t.Context(), Config{Ambient: true}); err != nil || d.project != "from-the-environment" {
		t.Errorf("got project %s and %v", d.project, err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	if _, err = New(t.Context(), Config{Ambient: true}); !errors.Is(err, cloud.ErrAuth) {
		t.Errorf("no file: got %v", err)
	}
}
