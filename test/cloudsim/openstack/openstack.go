// Package openstack is a simulated OpenStack: Keystone, Nova, Neutron and
// Glance as far as drivers and the openstack command line need them, with
// servers that really boot on a [fabric.Fabric].
//
// It answers as the real services do where a driver can go wrong: wrong
// passwords and expired tokens, unknown attributes, addresses that are taken,
// deletions in the wrong order, servers that fail after they were accepted.
// Nova takes several servers on one port until the port is bound, as the real
// one does; then all but one go to ERROR.
//
// What is not like the real thing: each subnet is a network of the fabric by
// itself, so that a router carries traffic between its subnets and the outside
// but not from one subnet to another; a subnet's gateway is always its first
// address; there is one project and no administrator.
//
// [New] makes a [Cloud]; its Handler serves all services below one URL:
// Keystone at the root, the others at /compute, /network and /image. All
// methods may be called concurrently; one lock guards the whole cloud. Boots
// go on in the fabric, and every call first takes over how far they are.
package openstack

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Name is what the cloud is called in inventories and faults.
const Name = "openstack"

// Region is the name of the one region, Zone that of its one zone.
const (
	Region = "RegionOne"
	Zone   = "nova"
)

// Options configure a Cloud.
type Options struct {
	// Fabric carries the machines.
	Fabric *fabric.Fabric
	// Faults decides which calls fail; nil is none.
	Faults *faults.Injector
	// URL is where clients reach the Handler. The catalog names it.
	URL string
	// Password is that of the user demo; "" is a fresh one.
	Password string
	// TokenLife is how long a token is valid; 0 is an hour.
	TokenLife time.Duration
	// BindDelay passes between the acceptance of a server and the binding of
	// its ports, which is when a second server on a port fails; 0 is 50 ms.
	BindDelay time.Duration
	// RetryAfter is the Retry-After of a throttled call, in whole seconds;
	// 0 is one second, negative is none.
	RetryAfter time.Duration
	// Log takes what happens; nil is nowhere.
	Log *slog.Logger
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Cloud is a simulated OpenStack with one project.
type Cloud struct {
	opts    Options
	now     func() time.Time
	project string // ids
	user    string
	done    chan struct{} // closed by Close
	wg      sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	closed bool
	tokens map[string]token

	networks  sim.Table[*network]
	subnets   sim.Table[*subnet]
	ports     sim.Table[*port]
	routers   sim.Table[*router]
	groups    sim.Table[*group]
	floating  sim.Table[*floatingIP]
	servers   sim.Table[*server]
	keys      sim.Table[*keyPair]
	defaultSG *group
	external  *network
}

// New returns a cloud that holds nothing but an external network, a default
// security group, flavors and images.
func New(o Options) *Cloud {
	if o.Faults == nil {
		o.Faults = faults.New(faults.Config{})
	}
	if o.Password == "" {
		o.Password = newHex(16)
	}
	o.TokenLife = cmp.Or(o.TokenLife, time.Hour)
	o.BindDelay = cmp.Or(o.BindDelay, 50*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cloud{
		opts: o, now: o.Now, project: newHex(16), user: newHex(16),
		done: make(chan struct{}), tokens: map[string]token{},
	}
	c.addExternal()
	c.addDefaultGroup()
	return c
}

// Name returns "openstack".
func (c *Cloud) Name() string { return Name }

// Credentials returns a clouds.yaml with one entry.
func (c *Cloud) Credentials() []byte {
	return fmt.Appendf(nil, `clouds:
  cloudsim:
    auth:
      auth_url: %s/v3
      username: demo
      password: %s
      project_name: demo
      user_domain_name: Default
      project_domain_name: Default
    region_name: %s
    interface: public
    identity_api_version: 3
`, c.opts.URL, c.opts.Password, Region)
}

// Close ends the background work. It does not stop the machines: they belong
// to the fabric.
func (c *Cloud) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// laterLocked runs fn under the lock after d, unless the cloud is closed first.
func (c *Cloud) laterLocked(d time.Duration, fn func(context.Context)) {
	if c.closed {
		return
	}
	c.wg.Go(func() {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-c.done:
			return
		case <-t.C:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			fn(context.Background())
		}
	})
}

// newID returns a fresh id.
func newID() string { return uuid.NewString() }

// newHex returns n random bytes in hexadecimal, the form of Keystone's ids.
func newHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
