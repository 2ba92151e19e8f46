// Package azure is a simulated Azure: the Azure Resource Manager with the parts
// of Compute, Network and Resources that drivers need, the token endpoint of
// Entra ID, and machines that really boot on a [fabric.Fabric].
//
// Requests are parsed and answers are written by the fake servers that Microsoft
// ships with its SDK for Go, so that the wire format is Microsoft's; see
// [Cloud.Handler]. The behaviour is of this package: what depends on what, which
// names and addresses are taken, operations that go on after they were
// accepted, quotas, capacity and throttling. Operations are polled by the
// protocol that the real ARM has (Azure-AsyncOperation and Location), not by the
// one that the fakes share with their own client.
//
// As with the real service, ids are the same in every case of their letters, and
// Compute writes the group in an id in capitals; a virtual machine that is
// deleted takes with it what says so, a moment after it has gone.
//
// What is not like the real thing: a virtual network has one range and is a
// network of the fabric; a resource group's listing is never behind; there is one
// subscription with one service principal, who may do everything; tags, names and
// addresses are checked, most other properties are kept and shown as they were
// sent.
//
// In a machine runs cloud-init's own datasource for Azure. It knows the machine by
// its firmware, and finds the OVF environment, with user name, key and customData,
// as a file on the disk where a real machine has a DVD. There is no DHCP in a
// namespace, so it goes on as it does when no lease is to be had, and asks neither
// the metadata service nor the wire server (168.63.129.16, which is not
// simulated). The metadata service answers the machine's own programs at
// 169.254.169.254 as the real one does.
//
// All methods may be called concurrently; one lock guards the whole cloud. Boots
// go on in the fabric, and every call first takes over how far they are.
package azure

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Name is what the cloud is called in inventories and faults.
const Name = "azure"

// Options configure a Cloud.
type Options struct {
	// Fabric carries the machines.
	Fabric *fabric.Fabric
	// Faults decides which calls fail; nil is none.
	Faults *faults.Injector
	// URL is where clients reach the Handler; operations and pages are below it.
	URL string
	// Secret is that of the service principal; "" is a fresh one.
	Secret string
	// Latency is how long an operation of Network or Resources goes on; 0 is
	// 200 ms. Those of machines last as long as the machines take.
	Latency time.Duration
	// Reserved is how long an interface is kept for a machine that could not be
	// made; 0 is not at all (the real one: 180 s).
	Reserved time.Duration
	// Hidden is how long a new machine is not found by its id (eventual
	// consistency); 0 is never.
	Hidden time.Duration
	// Unregistered providers refuse everything until they are registered, as in
	// a new subscription.
	Unregistered bool
	// PageSize is how many objects a listing shows at once; 0 is 100.
	PageSize int
	// RetryAfter is the Retry-After of a throttled call, in whole seconds; 0 is
	// one second, negative is none.
	RetryAfter time.Duration
	// Log takes what happens; nil is nowhere.
	Log *slog.Logger
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Cloud is a simulated Azure with one subscription.
type Cloud struct {
	opts         Options
	now          func() time.Time
	tenant       string // ids
	client       string
	subscription string
	regions      []region
	key          []byte // of the signatures in the addresses of consoles

	mu         sync.Mutex // guards the fields below
	tokens     map[string]time.Time
	registered map[string]bool // providers
	operations sim.Table[*operation]
	created    int // resources

	groups     sim.Table[*group] // all by id in lower case
	networks   sim.Table[*network]
	securities sim.Table[*security]
	nics       sim.Table[*nic]
	addresses  sim.Table[*address]
	machines   sim.Table[*machine]
	disks      sim.Table[*disk]
}

// New returns a cloud that holds nothing.
func New(o Options) *Cloud {
	if o.Faults == nil {
		o.Faults = faults.New(faults.Config{})
	}
	o.Secret = cmp.Or(o.Secret, uuid.NewString())
	o.Latency = cmp.Or(o.Latency, 200*time.Millisecond)
	o.PageSize = cmp.Or(o.PageSize, 100)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &Cloud{
		opts: o, now: o.Now, key: key,
		tenant: uuid.NewString(), client: uuid.NewString(), subscription: uuid.NewString(),
		regions: readRegions(), tokens: map[string]time.Time{},
		registered: map[string]bool{"microsoft.compute": !o.Unregistered, "microsoft.network": !o.Unregistered, "microsoft.resources": true},
	}
}

// Name returns "azure".
func (c *Cloud) Name() string { return Name }

// Credentials returns a service principal's file, in the form that
// `az ad sp create-for-rbac --sdk-auth` prints.
func (c *Cloud) Credentials() []byte {
	out, _ := json.MarshalIndent(map[string]string{ // cannot fail: strings only
		"clientId": c.client, "clientSecret": c.opts.Secret, "tenantId": c.tenant, "subscriptionId": c.subscription,
	}, "", "  ")
	return append(out, '\n')
}

// Close does nothing: the cloud has no life of its own, and its machines belong
// to the fabric.
func (c *Cloud) Close() {}

// settleLocked takes over what has happened by itself since the last call.
func (c *Cloud) settleLocked(ctx context.Context) {
	for _, o := range c.operations.All() {
		if o.status == statusRunning && o.ready() {
			o.status = statusSucceeded
			if o.fault = o.finish(&call{Cloud: c, ctx: ctx}); o.fault != nil {
				o.status = statusFailed
			}
			o.ended = c.now()
		}
	}
}
