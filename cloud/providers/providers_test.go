package providers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/providers"
)

var files = map[string]string{
	"aws":       "[default]\naws_access_key_id=AKIA\naws_secret_access_key=hidden\n",
	"openstack": "clouds: {a: {auth: {auth_url: \"https://host/v3\", username: u, password: hidden}}}",
}

func TestNew(t *testing.T) {
	for _, name := range providers.Names() {
		d, err := providers.New(t.Context(), providers.Config{Provider: name, Credentials: []byte(files[name])})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.Provider() != name {
			t.Errorf("%s: the driver is one of %s", name, d.Provider())
		}
		for what, ok := range map[string]bool{
			"Catalog": is[cloud.Catalog](d), "Console": is[cloud.Console](d), "Power": is[cloud.Power](d),
		} {
			if !ok {
				t.Errorf("%s: no %s", name, what)
			}
		}
	}
}

func is[T any](d cloud.Driver) bool { _, ok := cloud.As[T](d); return ok }

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   providers.Config
		fault string
	}{
		{"unknown provider", providers.Config{Provider: "azur", Credentials: []byte("x")}, "want one of aws, openstack"},
		{"no credentials", providers.Config{Provider: "aws"}, "no credentials"},
		{"another's credentials", providers.Config{Provider: "aws", Credentials: []byte(files["openstack"])}, "aws credentials"},
		{"bad endpoint", providers.Config{Provider: "aws", Endpoint: "host", Credentials: []byte(files["aws"])}, "endpoint"},
	} {
		d, err := providers.New(t.Context(), tc.cfg)
		if d != nil || !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v and %v, want %q", tc.name, d, err, tc.fault)
		}
	}
}

func TestNoCredentialsInLog(t *testing.T) {
	text := fmt.Sprint(providers.Config{Provider: "aws", Credentials: []byte("hidden")}.LogValue())
	if strings.Contains(text, "hidden") || !strings.Contains(text, "REDACTED") {
		t.Error(text)
	}
}
