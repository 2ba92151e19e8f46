package azure_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/azure"
)

// cleanEnvironment hides this machine's own credentials.
func cleanEnvironment(t *testing.T) {
	for _, name := range []string{
		"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_AUTHORITY_HOST",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AZURE_CONFIG_DIR", t.TempDir())
}

func TestCredentials(t *testing.T) {
	cleanEnvironment(t)
	t.Setenv("AZURE_SUBSCRIPTION_ID", "6f2a1c1e-0000-4000-8000-00000000ffff") // must not be looked at
	whole := `{"clientId": "c", "clientSecret": "hidden", "tenantId": "t", "subscriptionId": "6F2A1C1E-0000-4000-8000-000000000001",
		"activeDirectoryEndpointUrl": "https://login.microsoftonline.com", "resourceManagerEndpointUrl": "https://management.azure.com/",
		"sqlManagementEndpointUrl": "https://management.core.windows.net:8443/"}`
	for _, tc := range []struct {
		name, file, fault string
	}{
		{"least", credentialsFile, ""},
		{"as az writes it", whole, ""},
		{"empty", "", "not a service principal's JSON"},
		{"not JSON", "clientSecret=hidden", "not a service principal's JSON"},
		{"wrong type", `{"clientSecret": ["hidden"]}`, "not a service principal's JSON"},
		{"no secret", `{"clientId": "hidden", "tenantId": "hidden", "subscriptionId": "6f2a1c1e-0000-4000-8000-000000000001"}`, "clientSecret is missing"},
		{"no subscription", `{"clientId": "c", "clientSecret": "hidden", "tenantId": "t"}`, "subscriptionId is missing"},
		{"odd subscription", `{"clientId": "c", "clientSecret": "hidden", "tenantId": "t", "subscriptionId": "hidden"}`, "no UUID"},
		{"odd tenant", `{"clientId": "c", "clientSecret": "x", "tenantId": "../hidden", "subscriptionId": "6f2a1c1e-0000-4000-8000-000000000001"}`, "tenantId"},
		{"plain manager", strings.Replace(whole, "https://management.azure.com/", "http://hidden", 1), "want https"},
		{"plain authority", strings.Replace(whole, "https://login.microsoftonline.com", "http://hidden", 1), "want https"},
		{"secret in URL", strings.Replace(whole, "https://management", "https://u:hidden@management", 1), "nothing secret"},
		{"too long", strings.Repeat(" ", 70000) + credentialsFile, "at most"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := azure.New(t.Context(), azure.Config{Credentials: []byte(tc.file)})
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %q and no value", err, tc.fault)
			}
		})
	}
}

func TestAmbient(t *testing.T) {
	cleanEnvironment(t)
	ambient := func(endpoint string) error {
		_, err := azure.New(t.Context(), azure.Config{Ambient: true, Endpoint: endpoint})
		return err
	}
	if err := ambient(""); !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), "AZURE_SUBSCRIPTION_ID") {
		t.Errorf("no subscription: got %v", err)
	}
	profile := "\ufeff" + `{"subscriptions": [{"id": "x"}, {"id": "6f2a1c1e-0000-4000-8000-000000000001", "isDefault": true}]}`
	if err := os.WriteFile(filepath.Join(os.Getenv("AZURE_CONFIG_DIR"), "azureProfile.json"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ambient(""); err != nil {
		t.Errorf("az's own subscription: got %v", err)
	}
	if err := ambient("http://127.0.0.1:1"); !errors.Is(err, cloud.ErrAuth) {
		t.Errorf("a plain endpoint without a secret: got %v, want ErrAuth", err)
	}
	for k, v := range map[string]string{"AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s", "AZURE_TENANT_ID": "t"} {
		t.Setenv(k, v)
	}
	if err := ambient("http://127.0.0.1:1"); err != nil {
		t.Errorf("a plain endpoint with a secret: got %v", err)
	}
}

func TestEndpoint(t *testing.T) {
	for _, bad := range []string{"127.0.0.1:80", "ftp://host", "http://", "://", "https://host/?x=y"} {
		_, err := azure.New(t.Context(), azure.Config{Endpoint: bad, Credentials: []byte(credentialsFile)})
		if !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", bad, err)
		}
	}
	_, err := azure.New(t.Context(), azure.Config{Endpoint: "http://u:hidden@host", Credentials: []byte(credentialsFile)})
	if !errors.Is(err, cloud.ErrInvalid) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a password in the endpoint: got %v", err)
	}
}

// entra stands for the https world: Microsoft's own library asks it for tokens.
type entra struct {
	t      *testing.T
	secret string
	asked  []string
}

// RoundTrip implements http.RoundTripper.
func (e *entra) RoundTrip(req *http.Request) (*http.Response, error) {
	e.asked = append(e.asked, req.URL.Host)
	resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: req}
	body := `{}`
	switch {
	case req.URL.Scheme != "https":
		e.t.Errorf("asked %s", req.URL)
	case strings.HasSuffix(req.URL.Path, "/instance"):
		body = `{"tenant_discovery_endpoint": "https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration", "metadata": []}`
	case strings.HasSuffix(req.URL.Path, "/openid-configuration"):
		body = `{"token_endpoint": "https://login.microsoftonline.com/t/oauth2/v2.0/token", "authorization_endpoint": "https://login.microsoftonline.com/t/oauth2/v2.0/authorize", "issuer": "https://login.microsoftonline.com/t/v2.0"}`
	case strings.HasSuffix(req.URL.Path, "/token"):
		text, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(text), "client_secret="+e.secret) {
			body = `{"token_type": "Bearer", "expires_in": 3600, "access_token": "tok"}`
		} else {
			resp.StatusCode, body = 401, `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret."}`
		}
	case req.Header.Get("Authorization") == "Bearer tok":
		body = `{"value": [{"name": "eastus"}]}`
	default:
		resp.StatusCode, body = 401, `{"error": {"code": "InvalidAuthenticationToken", "message": "no"}}`
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// TestIdentity goes through Microsoft's own library for tokens, which insists on
// https.
func TestIdentity(t *testing.T) {
	e := &entra{t: t, secret: "hidden"}
	d := newDriver(t, azure.Config{Credentials: []byte(credentialsFile), Transport: e})
	if len(e.asked) != 0 {
		t.Errorf("New asked %q", e.asked)
	}
	regions, err := d.Regions(t.Context())
	if err != nil || len(regions) != 1 || regions[0].Name != "eastus" {
		t.Errorf("got %v and %v", regions, err)
	}
	e.secret = "another"
	d = newDriver(t, azure.Config{Credentials: []byte(credentialsFile), Transport: e})
	_, err = d.Regions(t.Context())
	var api *cloud.APIError
	if !errors.Is(err, cloud.ErrAuth) || !errors.As(err, &api) || api.Code != "invalid_client" || api.Status != 401 || strings.Contains(err.Error(), "hidden") {
		t.Errorf("wrong secret: got %v", err)
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add([]byte(credentialsFile))
	f.Add([]byte(`{"resourceManagerEndpointUrl": "https://["}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := azure.New(t.Context(), azure.Config{Credentials: file})
		if (err == nil) == (d == nil) {
			t.Errorf("driver %v, error %v", d, err)
		}
	})
}
