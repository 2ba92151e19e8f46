package openstack_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

func vmSpec() cloud.VMSpec {
	return cloud.VMSpec{
		Owner: cloud.Owner{Mesh: "m", MCIS: "i"}, Region: "RegionOne", Name: "web-1", Node: "web-1", Token: "t",
		Network:   cloud.Network{ID: "n", SubnetID: "s", SecurityGroup: "g"},
		PrivateIP: netip.MustParseAddr("10.0.0.4"), Spec: "small", Image: "image",
	}
}

func TestCredentials(t *testing.T) {
	t.Setenv("OS_CLOUD", "none") // must not be looked at
	t.Setenv("OS_REGION_NAME", "none")
	const auth = `{auth: {auth_url: "http://127.0.0.1:1/v3", username: u, password: hidden, project_name: p, user_domain_name: d}}`
	for _, tc := range []struct {
		name, file, cloud, fault string
	}{
		{"only one", "clouds: {a: " + auth + "}", "", ""},
		{"named", "clouds: {a: " + auth + ", b: " + auth + "}", "b", ""},
		{"several", "clouds: {a: " + auth + ", b: " + auth + "}", "", "several clouds in it (a, b)"},
		{"unknown", "clouds: {a: " + auth + "}", "c", `no cloud "c"`},
		{"without auth", "clouds: {a: {region_name: r}}", "", "with auth"},
		{"empty", "", "", "no clouds"},
		{"not YAML", "clouds: [hidden", "", "not of the form"},
		{"a list", "- hidden", "", "not of the form"},
		{"wrong type", "clouds: {a: {auth: {auth_url: [hidden]}}}", "", "not as OpenStack's clients read it"},
		{"no URL", "clouds: {a: {auth: {username: u}}}", "", "want the URL of Keystone"},
		{"password in URL", `clouds: {a: {auth: {auth_url: "https://u:hidden@host/v3"}}}`, "", "password in it"},
		{"missing CA file", `clouds: {a: {cacert: /nowhere/ca.pem, auth: {auth_url: "https://host/v3", password: hidden}}}`, "", "/nowhere/ca.pem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := openstack.New(t.Context(), openstack.Config{Credentials: []byte(tc.file), Cloud: tc.cloud})
			if tc.fault == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.fault) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v, want %q and no password", err, tc.fault)
			}
		})
	}
}

func TestUnknownRegion(t *testing.T) {
	srv := keystone(t, nil)
	_, err := newDriver(t, openstack.Config{Credentials: cloudsYAML(srv.URL)}).Specs(t.Context(), "Atlantis")
	if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), "RegionOne") {
		t.Errorf("got %v, want the regions there are", err)
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add(cloudsYAML("http://127.0.0.1:1/v3"))
	f.Add([]byte("clouds: {a: {profile: x, auth: {}}}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := openstack.New(t.Context(), openstack.Config{Credentials: file})
		if (err == nil) == (d == nil) {
			t.Errorf("driver %v, error %v", d, err)
		}
	})
}
