// Package alibaba is a simulated Alibaba Cloud: the vendor's RPC protocol of ECS
// and VPC with signatures checked in both versions (HMAC-SHA1 in the query,
// ACS3-HMAC-SHA256 in a header), all public regions, VPCs, and instances that
// really boot on a [fabric.Fabric].
//
// It is as strict as the real service where a driver can go wrong: wrong and
// repeated signatures, duplicates, deletions in the wrong order or state, used
// client tokens and oversize user data get the answers that the vendor gives.
// VPCs and VSwitches come and go after a while, instances take their time, and
// new objects may stay invisible. A parameter that is not simulated is refused
// (UnsupportedParameter), where the real service would act on it or ignore it.
// It is not a copy of ECS: see actions.go for what it does. Answers are JSON.
//
// An instance that fails to be created stays listed as Pending; the system event
// SystemFailure.Delete tells why, and after a while the instance is released.
// Which state the real one shows meanwhile is not documented.
//
// [New] makes a [Cloud]; its Handler serves both APIs at one address, told apart
// by their version, and every instance is booted with a metadata service of its
// own at 100.100.100.200 (see metadata.go). The first address of a VSwitch is the
// fabric's router, where the real router has the last but two. All methods may
// be called concurrently; one lock guards the whole cloud.
package alibaba

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// Name is what the cloud is called in inventories and faults.
const Name = "alibaba"

// account is the id of the one account there is.
const account = "1234567890123456"

// Key is an access key.
type Key struct {
	ID     string
	Secret string
	Token  string // of temporary credentials, else empty
}

// Options configure a Cloud.
type Options struct {
	// Fabric carries the machines.
	Fabric *fabric.Fabric
	// Faults decides which calls fail; nil is none.
	Faults *faults.Injector
	// Key is what is accepted; the zero value is LTAIEXAMPLE with the secret
	// "secret".
	Key Key
	// Settle is how long a VPC or VSwitch takes to be made and to be deleted;
	// 0 is 1 s.
	Settle time.Duration
	// Hidden is how long a new object is not found (eventual consistency); 0
	// is never.
	Hidden time.Duration
	// Processing is how long after its first call a client token is answered
	// with IdempotentProcessing; 0 is never.
	Processing time.Duration
	// Release is how long an instance that could not be created is still
	// listed; 0 is five minutes.
	Release time.Duration
	// Log takes what happens; nil is nowhere.
	Log *slog.Logger
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Cloud is a simulated Alibaba Cloud with one account.
type Cloud struct {
	opts    Options
	now     func() time.Time
	actions map[string]action

	mu      sync.Mutex // guards the nonces and everything in the regions
	nonces  map[string]time.Time
	regions map[string]*region
}

// New returns a cloud that holds nothing.
func New(o Options) *Cloud {
	if o.Faults == nil {
		o.Faults = faults.New(faults.Config{})
	}
	if o.Key == (Key{}) {
		o.Key = Key{ID: "LTAIEXAMPLE", Secret: "secret"}
	}
	o.Settle = cmp.Or(o.Settle, time.Second)
	o.Release = cmp.Or(o.Release, 5*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cloud{opts: o, now: o.Now, actions: actions(), nonces: map[string]time.Time{}, regions: map[string]*region{}}
	for _, p := range places() {
		c.regions[p.region] = newRegion(p)
	}
	return c
}

// Name returns "alibaba".
func (c *Cloud) Name() string { return Name }

// Credentials returns a config.json of the Aliyun CLI.
func (c *Cloud) Credentials() []byte {
	p := map[string]string{
		"name": "default", "mode": "AK", "access_key_id": c.opts.Key.ID, "access_key_secret": c.opts.Key.Secret,
		"region_id": "cn-hangzhou", "output_format": "json", "language": "en",
	}
	if c.opts.Key.Token != "" {
		p["mode"], p["sts_token"] = "StsToken", c.opts.Key.Token
	}
	out, err := json.MarshalIndent(map[string]any{"current": "default", "profiles": []any{p}}, "", "\t")
	if err != nil {
		panic(err) // a map of texts
	}
	return append(out, '\n')
}

// Close does nothing: the cloud has no life of its own, and its machines belong
// to the fabric.
func (c *Cloud) Close() {}

// newID returns a fresh id: the prefix, a mark of the region, and 17 characters.
func newID(prefix string) string {
	return prefix + "t4n" + strings.ToLower(rand.Text())[:17]
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// settleLocked takes over how far everything has come since the last call.
func (c *Cloud) settleLocked(ctx context.Context) {
	for _, name := range sortedKeys(c.regions) {
		cl := &call{Cloud: c, ctx: ctx, r: c.regions[name]}
		for _, i := range cl.r.instances.All() {
			if err := cl.settleInstance(i); err != nil {
				c.opts.Log.Error("instance not settled", "region", name, "vm", i.id, "err", err)
			}
		}
		cl.settleNetworks()
	}
}
