// Package alibaba is the driver of Alibaba Cloud: ECS for machines, VPC for
// networks.
//
// A network is a VPC, one VSwitch with the same range, a security group whose
// members are kept apart, and a key pair where a key is asked for. All of them
// are tagged in the call that creates them. There is no gateway to make: the
// VPC's router is part of it, and a public address leads straight to its
// machine.
//
// # Zones
//
// A VSwitch lives in one zone and so do all machines of a network.
// EnsureNetwork puts it in the zone that sells most machine types at that time,
// and Specs lists the types of that zone. CreateVM refuses another VMSpec.Zone
// as [cloud.ErrInvalid] and names the right one.
//
// # Idempotency
//
// Every create but that of a key pair takes a ClientToken. A token answers with
// the id of its first call for ever, also when that object has been deleted
// since. For machines that is what VMSpec.Token asks for. The objects of a
// network are looked for by their tags first; then a token that is made of
// what is asked for keeps a second one from being made while the first is not
// yet visible. An id that stays invisible is one of an earlier life, and the
// next token is tried. Inside a VPC the VSwitch's range is a natural key
// besides, and the key pair's name, which holds a digest of its owner, is one in
// the region.
//
// # Late failures
//
// RunInstances answers before a machine exists. One that cannot be made stays
// listed for some minutes with the system event SystemFailure.Delete: List asks
// for these events when a machine is not running, and shows it as
// [cloud.VMFailed] with the event's reason. ECS has no state for a machine
// that is being released; it is listed as stopped until it is gone.
//
// # What differs elsewhere
//
// Machines forward packets that are not their own unless told otherwise, so
// VMSpec.Forwards needs no call. PublicIP is the instance's own address, which
// goes with it, with up to 100 Mbit/s paid by traffic.
package alibaba

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"

	"github.com/cbnet-io/cbnet/cloud"
)

// Provider is the name of this kind of cloud.
const Provider = "alibaba"

// MaxUserData is ECS's limit of user-data in bytes, before encoding.
const MaxUserData = 32 << 10

// defaultRegion answers calls that name no region. Its endpoint lists them all.
const defaultRegion = "cn-hangzhou"

// Config says which account to use and how.
type Config struct {
	// Region is used by calls that name none. Default: that of the profile in
	// Credentials, with Ambient ALIBABA_CLOUD_REGION_ID, else cn-hangzhou.
	Region string
	// Endpoint replaces Alibaba's endpoints of ECS and VPC; only here http is
	// accepted.
	Endpoint string
	// Credentials are the bytes of the Aliyun CLI's config.json: the current
	// profile, in mode AK or StsToken.
	Credentials []byte
	// Ambient takes credentials from the SDK's default chain instead
	// (environment, profiles, instance role).
	Ambient bool
	// Transport carries the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Poll is the pause between two looks at an object of a network that is
	// not ready. Default 1 s.
	Poll time.Duration
}

// Driver is Alibaba Cloud of one account. It is safe for concurrent use.
type Driver struct {
	region    string
	endpoint  *url.URL // nil: Alibaba's own
	creds     credentials.CredentialsProvider
	transport http.RoundTripper
	poll      time.Duration
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Catalog  = (*Driver)(nil)
	_ cloud.Console  = (*Driver)(nil)
	_ cloud.KeyTypes = (*Driver)(nil)
	_ cloud.Power    = (*Driver)(nil)
	_ cloud.Quoter   = (*Driver)(nil)
)

// New returns a driver. It makes no request, except that with Config.Ambient
// the default chain may ask the instance metadata service. Errors wrap
// [cloud.ErrInvalid] (configuration) or [cloud.ErrAuth] (no credentials).
func New(ctx context.Context, cfg Config) (*Driver, error) {
	d := &Driver{region: cfg.Region, transport: cfg.Transport, poll: cfg.Poll}
	if d.transport == nil {
		d.transport = http.DefaultTransport
	}
	if d.poll <= 0 {
		d.poll = time.Second
	}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("alibaba endpoint %q: %w: want http://HOST:PORT or https://HOST", cfg.Endpoint, cloud.ErrInvalid)
		}
		d.endpoint = u
	}
	if err := d.findCredentials(ctx, cfg); err != nil {
		return nil, err
	}
	if d.region == "" {
		d.region = defaultRegion
	}
	return d, nil
}

// Provider implements cloud.Driver.
func (d *Driver) Provider() string { return Provider }
