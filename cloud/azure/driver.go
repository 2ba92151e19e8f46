// Package azure is the driver of Microsoft Azure: Compute, Network and
// Resources of the Azure Resource Manager (ARM).
//
// A network is a resource group with a virtual network of one subnet and a
// network security group in it; there is one group for each owner, network name
// and region, and it holds the machines too. A machine is a public address, if
// asked for, a network interface with the planned address, and a virtual
// machine that takes both with it, and its disk, when it is deleted. A subnet
// is a part of its network: it is made with it, has no tags, and is not listed
// beside it.
//
// In ARM the caller chooses the names and a PUT may be repeated, so the names
// are the natural keys. That of a group is made of owner, network and region,
// that of a machine of its owner and token: one token is one machine. The PUT
// of a machine says that it must not exist (If-None-Match), so it is look-up
// and creation in one, and a create that arrives late changes nothing. The
// others write the same content again; nothing that is not ours has their
// names, since what is in our group is ours.
//
// A PUT or DELETE is accepted before it is done. EnsureNetwork waits for what
// the next step needs, and CreateVM for the public address, by polling at the
// pace of Config.Poll; neither waits for a machine. What failed after Azure had
// accepted it is told by List.
//
// Machines without a public address reach nothing but their network: the subnet
// is private (defaultOutboundAccess is false).
package azure

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// Provider is the name of this kind of cloud.
const Provider = "azure"

// MaxUserData is Azure's limit of customData in bytes, before encoding.
const MaxUserData = 65535

// Config says which subscription to use and how.
type Config struct {
	// Region is used by calls that name none. Default: eastus.
	Region string
	// Endpoint replaces that of the Azure Resource Manager. With plain http,
	// which is accepted only here, the tokens are asked for below it too.
	Endpoint string
	// Credentials are the bytes of a service principal's JSON file, as
	// `az ad sp create-for-rbac --sdk-auth` writes it.
	Credentials []byte
	// Ambient takes credentials from Azure's default chain instead
	// (environment, workload or managed identity, az), and the subscription
	// from AZURE_SUBSCRIPTION_ID or az's profile.
	Ambient bool
	// Transport carries the requests. Default: http.DefaultTransport.
	Transport http.RoundTripper
	// Poll is the pause between two questions whether an operation is done.
	// Default 1 s.
	Poll time.Duration
}

// Driver is one subscription of Azure. It is safe for concurrent use.
type Driver struct {
	region       string
	subscription string
	poll         time.Duration
	http         *http.Client // for what is not ARM: consoles
	plain        bool         // the endpoint is plain http
	api          clients
	noKey        func() (string, error) // throwAwayKey, once
}

var (
	_ cloud.Driver   = (*Driver)(nil)
	_ cloud.Catalog  = (*Driver)(nil)
	_ cloud.Console  = (*Driver)(nil)
	_ cloud.KeyTypes = (*Driver)(nil)
	_ cloud.Power    = (*Driver)(nil)
	_ cloud.Quoter   = (*Driver)(nil)
)

// New returns a driver. It makes no request. Errors wrap [cloud.ErrInvalid]
// (configuration) or [cloud.ErrAuth] (no credentials), and never quote a value
// of the credentials.
func New(_ context.Context, cfg Config) (*Driver, error) {
	transport := cfg.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	acc, err := readAccount(cfg)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		region: cfg.Region, subscription: acc.SubscriptionID, poll: cfg.Poll,
		http:  &http.Client{Transport: transport},
		plain: acc.plain(),
		noKey: sync.OnceValues(throwAwayKey),
	}
	if d.region == "" {
		d.region = "eastus"
	}
	if d.poll <= 0 {
		d.poll = time.Second
	}
	credential, err := acc.credential(transport)
	if err != nil {
		return nil, err
	}
	if d.api, err = newClients(acc, credential, transport); err != nil {
		return nil, fmt.Errorf("azure endpoint: %w: %w", cloud.ErrInvalid, err)
	}
	return d, nil
}

// Provider implements cloud.Driver.
func (d *Driver) Provider() string { return Provider }

// in returns a region's name, that of the default one for "".
func (d *Driver) in(region string) string {
	if region == "" {
		return d.region
	}
	return region
}
