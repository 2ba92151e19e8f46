package mcistest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// Cloud is a cloud in memory that behaves as badly as real ones: machines take
// time to come and go, lists lag, a dead machine still answers to its token,
// networks cannot go before machines. It is a [cloud.Driver] with the optional
// capabilities that its Traits say and is safe for concurrent use.
type Cloud struct {
	Faults Faults // change under Lock only
	Traits Traits // change before anything uses the cloud, or by Be

	mu    sync.Mutex
	name  string
	next  int
	objs  []*object
	calls map[string]int
	open  map[string]bool // tokens whose create call is under way
	world *World
}

// Faults says what goes wrong. The zero value is a cloud where all goes well.
type Faults struct {
	Latency     time.Duration // of every call
	Boot        time.Duration // from create to running; the daemon joins as long after that again
	Shutdown    time.Duration // from delete to gone
	ListLag     time.Duration // until a new object shows in lists
	Throttle    float64       // share of calls that are refused
	Drop        float64       // share of changing calls whose answer is lost after they were done
	AsyncFail   float64       // share of machines that fail after the create call
	Dead        float64       // share of machines that boot and never join
	Quota       int           // machines at a time; 0: no limit
	NoCapacity  bool
	Ports       bool                                                       // a create makes a port first, which stays when the rest fails
	Unreachable bool                                                       // no call gets through
	Refused     bool                                                       // the credentials are wrong
	Broken      map[string]error                                           // what lists and catalogues of a region fail with
	OnCall      func(op string, done bool) (late time.Duration, err error) // decides about one call; done: it has taken effect
}

// object is a resource and its life.
type object struct {
	res    cloud.Resource
	spec   cloud.VMSpec
	key    string // of a key pair
	born   time.Time
	dying  time.Time // zero: it lives
	fails  bool
	silent bool
}

// Lock changes the faults while calls run.
func (c *Cloud) Lock(change func(f *Faults)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.Faults)
}

// Provider implements cloud.Driver.
func (c *Cloud) Provider() string { return "fake" }

// CreateVM implements cloud.Driver.
func (c *Cloud) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(16 << 10); err != nil {
		return cloud.VM{}, err
	}
	c.mu.Lock()
	if c.open[spec.Token] {
		c.world.fault("two create calls at once for token of %s", spec.Node)
	}
	c.open[spec.Token] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.open, spec.Token)
	}()
	var vm cloud.VM
	err := c.change(ctx, "create", func() error {
		var err error
		vm, err = c.start(spec)
		return err
	})
	return vm, err
}

// start makes a machine, or returns the one of its token. c.mu is held.
func (c *Cloud) start(spec cloud.VMSpec) (cloud.VM, error) {
	running := 0
	for _, o := range c.objs {
		if o.res.Kind != cloud.KindVM {
			continue
		}
		if o.spec.Token == spec.Token {
			if string(o.spec.UserData) != string(spec.UserData) || o.spec.PrivateIP != spec.PrivateIP || !maps.Equal(o.spec.Labels, spec.Labels) {
				c.world.fault("token of %s sent again with another request", spec.Node)
				return cloud.VM{}, c.err("create", cloud.ErrConflict)
			}
			return c.vm(o), nil
		}
		if c.gone(o) {
			continue
		}
		running++
		if o.spec.PrivateIP == spec.PrivateIP && o.spec.Network.SubnetID == spec.Network.SubnetID && o.res.Region == spec.Region {
			return cloud.VM{}, c.err("create: address is taken", cloud.ErrConflict)
		}
	}
	if c.find(spec.Network.SubnetID) == nil {
		return cloud.VM{}, c.err("create: subnet", cloud.ErrNotFound)
	}
	if c.Faults.Ports && c.port(spec.Name) == nil {
		c.add(cloud.Resource{Kind: cloud.KindPort, Region: spec.Region, Name: spec.Name, Owner: spec.Owner, Tags: spec.Owner.Tags()})
	}
	if c.Faults.Quota > 0 && running >= c.Faults.Quota {
		return cloud.VM{}, c.err("create", cloud.ErrQuota)
	}
	if c.Faults.NoCapacity {
		return cloud.VM{}, c.err("create", cloud.ErrCapacity)
	}
	tags := spec.Owner.Tags()
	tags[cloud.KeyNode], tags[cloud.KeyToken] = spec.Node, spec.Token
	o := c.add(cloud.Resource{Kind: cloud.KindVM, Region: spec.Region, Name: spec.Name, Owner: spec.Owner, Tags: tags})
	o.spec = spec
	o.fails = c.world.chance(c.Faults.AsyncFail)
	o.silent = c.world.chance(c.Faults.Dead)
	return c.vm(o), nil
}

// Delete implements cloud.Driver.
func (c *Cloud) Delete(ctx context.Context, res cloud.Resource) error {
	return c.change(ctx, "delete", func() error {
		o := c.find(res.ID)
		if o == nil {
			return nil
		}
		if err := cloud.CheckOwner(res, o.res.Tags); err != nil {
			return err
		}
		if res.Kind != cloud.KindVM {
			for _, other := range c.objs {
				net := other.spec.Network
				on := other.res.Kind == cloud.KindPort || other.res.Name == o.res.Name || slices.Contains([]string{net.ID, net.SubnetID, net.SecurityGroup}, o.res.ID)
				if on && other.res.Region == o.res.Region && other.res.Owner == o.res.Owner && !c.gone(other) && other != o &&
					slices.Index(order, other.res.Kind) < slices.Index(order, o.res.Kind) {
					return c.err("delete "+string(res.Kind), cloud.ErrInUse)
				}
			}
			c.objs = slices.DeleteFunc(c.objs, func(x *object) bool { return x == o })
			return nil
		}
		if o.dying.IsZero() {
			o.dying = time.Now()
		}
		c.objs = slices.DeleteFunc(c.objs, func(x *object) bool { return x.res.Kind == cloud.KindPort && x.res.Name == o.res.Name })
		return nil
	})
}

// port returns the port of a name. c.mu is held.
func (c *Cloud) port(name string) *object {
	for _, o := range c.objs {
		if o.res.Kind == cloud.KindPort && o.res.Name == name {
			return o
		}
	}
	return nil
}

// held reports whether o is the port of a machine, which has it listed.
func (c *Cloud) held(o *object) bool {
	return o.res.Kind == cloud.KindPort && slices.ContainsFunc(c.objs, func(x *object) bool {
		return x.res.Kind == cloud.KindVM && x.res.Name == o.res.Name && !c.gone(x)
	})
}

var order = []cloud.Kind{
	cloud.KindVM, cloud.KindPort, cloud.KindRouter, cloud.KindKey, cloud.KindSecurityGroup, cloud.KindSubnet, cloud.KindNetwork, cloud.KindGroup,
}

// List implements cloud.Driver.
func (c *Cloud) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	if err := c.enter(ctx, "list"); err != nil {
		return nil, err
	}
	if err := c.broken(region); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []cloud.Resource
	for _, o := range c.objs {
		if c.gone(o) || o.res.Region != region || !o.res.Owner.Matches(owner) || c.held(o) || time.Since(o.born) < c.Faults.ListLag {
			continue
		}
		res := o.res
		if res.Kind == cloud.KindVM {
			vm := c.vm(o)
			res.VM, res.Labels = &vm, maps.Clone(o.spec.Labels)
		}
		out = append(out, res)
	}
	return out, nil
}

// Inventory returns what exists, as "kind region name", sorted.
func (c *Cloud) Inventory() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, o := range c.objs {
		if !c.gone(o) {
			out = append(out, fmt.Sprintf("%s %s %s", o.res.Kind, o.res.Region, strings.Join(strings.Fields(o.res.Name+" "+o.spec.Node), " ")))
		}
	}
	slices.Sort(out)
	return out
}

// Machine returns the request that made the living machine of a node.
func (c *Cloud) Machine(node string) (cloud.VMSpec, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.objs {
		if o.spec.Node == node && o.dying.IsZero() {
			return o.spec, true
		}
	}
	return cloud.VMSpec{}, false
}

// Calls returns how often a kind of call was made.
func (c *Cloud) Calls(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[op]
}

// Kill removes the machine of a node as somebody in the vendor's console would.
func (c *Cloud) Kill(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.objs {
		if o.spec.Node == node && o.dying.IsZero() {
			o.dying = time.Now()
		}
	}
}

// Twin gives a node a second machine with the token of its first, which the
// cloud could not start: what creates leave that raced.
func (c *Cloud) Twin(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.objs {
		if o.spec.Node == node && o.dying.IsZero() {
			twin := c.add(o.res)
			twin.spec, twin.fails = o.spec, true
			return
		}
	}
}

// change makes a call that changes the cloud: it may be refused before it took
// effect, its answer may be lost after, or it may take effect late.
func (c *Cloud) change(ctx context.Context, op string, do func() error) error {
	if err := c.enter(ctx, op); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Faults.OnCall != nil {
		late, err := c.Faults.OnCall(op, false)
		if err != nil && late > 0 {
			time.AfterFunc(late, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				_ = do() // nobody hears the answer
			})
		}
		if err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return err
	}
	if c.world.chance(c.Faults.Drop) {
		return c.err(op+": answer lost", cloud.ErrUnavailable)
	}
	if c.Faults.OnCall != nil {
		_, err := c.Faults.OnCall(op, true)
		return err
	}
	return nil
}

// enter waits for the latency and decides whether the call gets through.
func (c *Cloud) enter(ctx context.Context, op string) error {
	c.mu.Lock()
	f := c.Faults
	c.calls[op]++
	c.mu.Unlock()
	if f.Latency > 0 {
		t := time.NewTimer(f.Latency)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w: %w", op, cloud.ErrUnavailable, err)
	}
	if f.Unreachable {
		return c.err(op, cloud.ErrUnavailable)
	}
	if f.Refused {
		return c.refused(op)
	}
	if c.world.chance(f.Throttle) {
		return c.err(op, cloud.ErrThrottled)
	}
	return nil
}

func (c *Cloud) err(op string, class error) error {
	return &cloud.APIError{Provider: c.name, Op: op, Code: class.Error(), Class: class}
}

// add makes an object. c.mu is held.
func (c *Cloud) add(res cloud.Resource) *object {
	c.next++
	res.ID = fmt.Sprintf("%s-%s-%d", c.name, res.Kind, c.next)
	o := &object{res: res, born: time.Now()}
	c.objs = append(c.objs, o)
	return o
}

func (c *Cloud) find(id string) *object {
	for _, o := range c.objs {
		if o.res.ID == id && !c.gone(o) {
			return o
		}
	}
	return nil
}

// gone reports whether an object exists no more.
func (c *Cloud) gone(o *object) bool {
	return !o.dying.IsZero() && time.Since(o.dying) >= c.Faults.Shutdown
}

// vm returns a machine as it is now. c.mu is held.
func (c *Cloud) vm(o *object) cloud.VM {
	vm := cloud.VM{
		ID: o.res.ID, Name: o.res.Name, Node: o.spec.Node, Token: o.spec.Token, State: cloud.VMPending,
		PrivateIP: o.spec.PrivateIP, Created: o.born,
	}
	booted := time.Since(o.born) >= c.Faults.Boot
	switch {
	case !o.dying.IsZero():
		vm.State = cloud.VMDeleting
	case booted && o.fails:
		vm.State, vm.Reason = cloud.VMFailed, "no host was found"
	case booted:
		vm.State = cloud.VMRunning
		if o.spec.PublicIP {
			vm.PublicIP = netip.AddrFrom4([4]byte{198, 18, 1, byte(len(o.res.ID))})
		}
	}
	return vm
}

// joined reports whether a machine of the node runs a daemon with this token.
func (c *Cloud) joined(node, token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.objs {
		if o.spec.Node == node && o.dying.IsZero() && !o.fails && !o.silent && time.Since(o.born) >= 2*c.Faults.Boot &&
			strings.Contains(string(o.spec.UserData), token) {
			return true
		}
	}
	return false
}

// machines counts the machines of a node that are not gone.
func (c *Cloud) machines(node string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, o := range c.objs {
		if o.spec.Node == node && !c.gone(o) {
			n++
		}
	}
	return n
}
