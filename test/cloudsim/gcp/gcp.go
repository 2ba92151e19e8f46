// Package gcp is a simulated Google Compute Engine: the REST API v1 with its
// operations, and instances that really boot on a [fabric.Fabric].
//
// It is as strict as the real service where a driver can go wrong: unknown
// fields and parameters, names, references to what does not exist or is not
// ready, names that are taken, deletions in the wrong order, request ids that
// were used before. A change is an operation that ends later; what it makes is
// visible at once and not ready until then. An instance that cannot be started
// vanishes, and its operation tells why.
//
// What is not like the real thing: each subnetwork is a network of the fabric by
// itself, so that the subnetworks of one network do not reach each other; rules
// that deny are refused; there are no default network, static addresses,
// instance groups or disks apart from their instances. A method that is not in
// the table (actions.go) answers 404, as an unknown path does.
//
// [New] makes a [Cloud]; its Handler serves the API below /compute/v1, batches
// of calls at /batch/compute/v1, and the OAuth 2.0 token endpoint at /token.
// Every project exists and is empty at first. All methods may be called
// concurrently; one lock guards the whole cloud. Boots go on in the fabric, and
// every call first takes over how far they are.
package gcp

import (
	"cmp"
	"context"
	"crypto/rsa"
	"log/slog"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// Name is what the cloud is called in inventories and faults.
const Name = "gcp"

// Options configure a Cloud.
type Options struct {
	// Fabric carries the machines.
	Fabric *fabric.Fabric
	// Faults decides which calls fail; nil is none.
	Faults *faults.Injector
	// URL is where clients reach the Handler: the credentials name its token
	// endpoint.
	URL string
	// Project is the project of the credentials; "" is "cloudsim".
	Project string
	// OpTime is how long an operation takes, other than one that starts or
	// ends a machine; 0 is 100 ms (the real one: 5 to 30 s).
	OpTime time.Duration
	// RequestLife is how long a request id is remembered; 0 is an hour.
	RequestLife time.Duration
	// Hidden is how long after its insertion an instance is not shown by its
	// name or id, though it is listed (eventual consistency); 0 is never.
	Hidden time.Duration
	// Agent is the program that runs start-up scripts on images without
	// cloud-init, in place of an imitation: google_metadata_script_runner of
	// Google's guest agent.
	Agent string
	// Log takes what happens; nil is nowhere.
	Log *slog.Logger
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Cloud is a simulated Compute Engine.
type Cloud struct {
	opts    Options
	now     func() time.Time
	regions []region
	key     func() *rsa.PrivateKey // of the service account

	mu       sync.Mutex // guards the fields below
	tokens   map[string]time.Time
	projects map[string]*project
	lastID   uint64
}

// New returns a cloud that holds nothing but a catalog.
func New(o Options) *Cloud {
	if o.Faults == nil {
		o.Faults = faults.New(faults.Config{})
	}
	o.Project = cmp.Or(o.Project, "cloudsim")
	o.OpTime = cmp.Or(o.OpTime, 100*time.Millisecond)
	o.RequestLife = cmp.Or(o.RequestLife, time.Hour)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Cloud{
		opts: o, now: o.Now, regions: regions(), key: sync.OnceValue(newKey),
		tokens: map[string]time.Time{}, projects: map[string]*project{},
	}
}

// Name returns "gcp".
func (c *Cloud) Name() string { return Name }

// Close does nothing: the cloud has no life of its own, and its machines belong
// to the fabric.
func (c *Cloud) Close() {}

// newIDLocked returns a fresh id, unique in the cloud.
func (c *Cloud) newIDLocked() uint64 {
	if c.lastID == 0 {
		c.lastID = uint64(c.now().UnixNano())
	}
	c.lastID += 7919 // a prime: ids do not look like a count
	return c.lastID
}

// settleLocked takes over what has happened since the last call.
func (c *Cloud) settleLocked(ctx context.Context) {
	for _, p := range c.projects {
		p.settle(ctx)
	}
}
