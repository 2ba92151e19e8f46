package openstack_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	gopenstack "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

// TestReal runs the suite against a real OpenStack:
//
//	CBNET_OPENSTACK_CLOUDS  path of a clouds.yaml
//	CBNET_OPENSTACK_CLOUD   entry in it, if it has several
//	CBNET_OPENSTACK_IMAGE   image to boot, default the first
//
// It needs quota for 4 servers, 2 floating IPs, a router and a network.
func TestReal(t *testing.T) {
	path := os.Getenv("CBNET_OPENSTACK_CLOUDS")
	if path == "" {
		t.Skip("CBNET_OPENSTACK_CLOUDS names no clouds.yaml of a real OpenStack")
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg := openstack.Config{Credentials: file, Cloud: os.Getenv("CBNET_OPENSTACK_CLOUD")}
	d := newDriver(t, cfg)
	regions, err := d.Regions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image := os.Getenv("CBNET_OPENSTACK_IMAGE")
	if image == "" {
		images, err := d.Images(t.Context(), regions[0].Name)
		if err != nil || len(images) == 0 {
			t.Fatalf("no image: %v", err)
		}
		image = images[0].ID
	}
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver {
			cfg := cfg
			cfg.Transport = transport
			return newDriver(t, cfg)
		},
		NewWrong: func(t testing.TB) cloud.Driver {
			cfg := cfg
			cfg.Credentials = wrongPassword(t, file)
			return newDriver(t, cfg)
		},
		Region:      regions[0].Name,
		Image:       image,
		VCPU:        1,
		MaxUserData: openstack.MaxUserData,
		UnknownID:   unknownID,
		VMKey: func(t testing.TB, id string) string {
			return keyOf(t, "", file, cfg.Cloud, regions[0].Name, id)
		},
		Timeout: 5 * time.Minute,
		Tick:    2 * time.Second,
	})
}

func newDriver(t testing.TB, cfg openstack.Config) *openstack.Driver {
	t.Helper()
	d, err := openstack.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// keyOf returns the name of the key pair that a server was made with.
func keyOf(t testing.TB, endpoint string, file []byte, entry, region, id string) string {
	t.Helper()
	auth, _, _, err := clouds.Parse(clouds.WithCloudsYAML(bytes.NewReader(file)), clouds.WithCloudName(entry))
	if err != nil {
		t.Fatal(err)
	}
	if endpoint != "" {
		auth.IdentityEndpoint = endpoint + "/v3/"
	}
	client, err := gopenstack.AuthenticatedClient(t.Context(), auth)
	if err != nil {
		t.Fatal(err)
	}
	nova, err := gopenstack.NewComputeV2(client, gophercloud.EndpointOpts{Region: region})
	if err != nil {
		t.Fatal(err)
	}
	s, err := servers.Get(t.Context(), nova, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	return s.KeyName
}

// unknownID returns a well-formed id of nothing.
func unknownID(cloud.Kind) string { return "01234567-89ab-4def-8123-456789abcdef" }

// wrongPassword changes every password of a clouds.yaml.
func wrongPassword(t testing.TB, file []byte) []byte {
	t.Helper()
	const key = "password: "
	lines := strings.SplitAfter(string(file), key)
	if len(lines) < 2 {
		t.Fatal("no password in clouds.yaml")
	}
	for i := range lines[1:] {
		lines[i+1] = "wrong-" + strings.TrimPrefix(lines[i+1], `"`)
		lines[i+1] = strings.Replace(lines[i+1], `",`, `,`, 1)
		lines[i+1] = strings.Replace(lines[i+1], `"`, ``, 1)
	}
	return []byte(strings.Join(lines, ""))
}
