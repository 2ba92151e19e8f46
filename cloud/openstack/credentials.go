package openstack

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"gopkg.in/yaml.v3"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxCredentials bounds a clouds.yaml; real ones have a few kilobytes.
const maxCredentials = 256 << 10

// credentials is what a clouds.yaml says.
type credentials struct {
	auth   gophercloud.AuthOptions
	region string
	iface  string
	tls    *tls.Config
}

// entry is the part of a clouds.yaml entry that decides between readings.
type entry struct {
	Auth       map[string]any `yaml:"auth"`
	RegionName string         `yaml:"region_name"`
	Interface  string         `yaml:"interface"`
}

// readCredentials reads Config's credentials. Errors wrap cloud.ErrInvalid and
// never quote a value.
func readCredentials(cfg Config) (credentials, error) {
	if cfg.Ambient {
		return ambient(cfg)
	}
	fail := func(format string, args ...any) (credentials, error) {
		return credentials{}, fmt.Errorf("clouds.yaml: %w: %s", cloud.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(cfg.Credentials) > maxCredentials {
		return fail("%d bytes, at most %d", len(cfg.Credentials), maxCredentials)
	}
	var file struct {
		Clouds map[string]entry `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(cfg.Credentials, &file); err != nil {
		return fail("not of the form clouds: {NAME: {auth: {...}}}") // err may quote a password
	}
	name := cfg.Cloud
	if name == "" && len(file.Clouds) == 1 {
		for name = range file.Clouds {
		}
	}
	e, ok := file.Clouds[name]
	switch {
	case len(file.Clouds) == 0:
		return fail("no clouds in it")
	case name == "":
		return fail("several clouds in it (%s): keep one", strings.Join(slices.Sorted(maps.Keys(file.Clouds)), ", "))
	case !ok || e.Auth == nil:
		return fail("no cloud %q with auth in it", name)
	}
	// Every option that the environment could set is given here.
	auth, endpoint, conf, err := clouds.Parse(
		clouds.WithCloudsYAML(bytes.NewReader(cfg.Credentials)),
		clouds.WithCloudsPublicYAML(strings.NewReader("public-clouds: {}\n")),
		clouds.WithCloudName(name), clouds.WithRegion(e.RegionName), clouds.WithEndpointType(e.Interface),
	)
	if errors.Is(err, fs.ErrNotExist) {
		return fail("cloud %q: %v", name, err)
	}
	if err != nil {
		return fail("cloud %q is not as OpenStack's clients read it", name)
	}
	return credentials{auth: auth, region: endpoint.Region, iface: string(endpoint.Availability), tls: conf}, nil
}

// ambient reads what OpenStack's own client would.
func ambient(cfg Config) (credentials, error) {
	if os.Getenv("OS_AUTH_URL") != "" && os.Getenv("OS_CLOUD") == "" && cfg.Cloud == "" {
		auth, err := openstack.AuthOptionsFromEnv()
		if err != nil {
			return credentials{}, fmt.Errorf("openstack environment: %w: %w", cloud.ErrInvalid, err)
		}
		return credentials{auth: auth, region: os.Getenv("OS_REGION_NAME"), iface: string(gophercloud.AvailabilityPublic)}, nil
	}
	var opts []clouds.ParseOption
	if cfg.Cloud != "" {
		opts = append(opts, clouds.WithCloudName(cfg.Cloud))
	}
	auth, endpoint, conf, err := clouds.Parse(opts...)
	if err != nil {
		return credentials{}, fmt.Errorf("clouds.yaml: %w: %w", cloud.ErrInvalid, err)
	}
	return credentials{auth: auth, region: endpoint.Region, iface: string(endpoint.Availability), tls: conf}, nil
}
