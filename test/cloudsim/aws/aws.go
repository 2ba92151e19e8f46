// Package aws is a simulated EC2: the vendor's query protocol with signatures
// checked, several regions, VPCs, and instances that really boot on a
// [fabric.Fabric].
//
// It is as strict as the real service where a driver can go wrong: wrong
// signatures, unknown parameters, duplicates, deletions in the wrong order,
// used client tokens and oversize user data get the answers that AWS gives.
// It is not a copy of EC2: see [Cloud.Handler] for the table of actions.
//
// [New] makes a [Cloud]; its Handler serves the API, and every instance is
// booted with a metadata service of its own (see imds.go). All methods may be
// called concurrently; one lock guards the whole cloud. What takes long, a boot
// or a stop, goes on in the fabric, and every call first takes over how far its
// machines have come.
package aws

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// Name is what the cloud is called in inventories and faults.
const Name = "aws"

// account is the id of the one account there is.
const account = "123456789012"

// Options configure a Cloud.
type Options struct {
	// Fabric carries the machines.
	Fabric *fabric.Fabric
	// Faults decides which calls fail; nil is none.
	Faults *faults.Injector
	// Key is the access key that is accepted; the zero value is AKIAEXAMPLE
	// with the secret "secret".
	Key Key
	// KeepTerminated is how long a terminated instance is still listed; 0 is
	// ten minutes (the real one: about an hour).
	KeepTerminated time.Duration
	// Hidden is how long after its launch an instance is not found by its id
	// (eventual consistency); 0 is never.
	Hidden time.Duration
	// Log takes what happens; nil is nowhere.
	Log *slog.Logger
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Cloud is a simulated EC2 with one account.
type Cloud struct {
	opts Options
	now  func() time.Time

	mu      sync.Mutex // guards everything in the regions
	regions map[string]*region
}

// New returns a cloud that holds nothing but each region's default VPC.
func New(o Options) *Cloud {
	if o.Faults == nil {
		o.Faults = faults.New(faults.Config{})
	}
	if o.Key == (Key{}) {
		o.Key = Key{ID: "AKIAEXAMPLE", Secret: "secret"}
	}
	o.KeepTerminated = cmp.Or(o.KeepTerminated, 10*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cloud{opts: o, now: o.Now, regions: map[string]*region{}}
	for name, letters := range regionZones() {
		c.regions[name] = newRegion(name, letters)
	}
	return c
}

// Name returns "aws".
func (c *Cloud) Name() string { return Name }

// Credentials returns a credentials file in the AWS tools' own format.
func (c *Cloud) Credentials() []byte {
	return fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.opts.Key.ID, c.opts.Key.Secret)
}

// Close does nothing: the cloud has no life of its own, and its machines belong
// to the fabric.
func (c *Cloud) Close() {}

// newID returns a fresh id of EC2's long form.
func newID(prefix string) string {
	b := make([]byte, 9)
	_, _ = rand.Read(b) // never fails
	return prefix + hex.EncodeToString(b)[:17]
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
