// Package sim holds what the simulated clouds share: the machines they run on
// ([Fabric]), the faults they suffer ([Faults]), what they answer to an
// inventory ([Object]) and a small store ([Table]). It knows no vendor.
package sim

import (
	"context"
	"net/netip"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// Fabric carries the networks and machines of the simulated clouds.
// [fabric.Fabric] is the real one, simtest has one that boots nothing. Ids are
// unique over all clouds and regions. Boots, stops and deletions go on after
// the call has returned; VMState tells how far they are.
type Fabric interface {
	AddNetwork(ctx context.Context, n fabric.Network) error
	SetGateway(ctx context.Context, network string, g fabric.Gateway) error
	RemoveNetwork(ctx context.Context, network string) error

	AllocatePublic() (netip.Addr, error)
	ReleasePublic(addr netip.Addr) error
	MapPublic(ctx context.Context, addr netip.Addr, vm string) error
	UnmapPublic(ctx context.Context, addr netip.Addr) error

	SetFirewall(ctx context.Context, vm string, rules []fabric.Rule) error
	StartVM(ctx context.Context, vm fabric.VM) error
	StopVM(ctx context.Context, id string) error
	RebootVM(ctx context.Context, id string) error
	DeleteVM(ctx context.Context, id string) error

	VMState(id string) fabric.State
	NetNS(id string) string
	Console(id string) []byte
}

// Faults decides which calls fail. A cloud asks before it does anything.
type Faults interface {
	// Call decides the fate of one call. It may wait, for latency.
	Call(ctx context.Context, cloud, op string, writes bool) Fate
	// Quota returns how many objects of a kind an account may have in a
	// region, and false where there is no such limit.
	Quota(cloud, kind string) (int, bool)
	// NoCapacity reports whether a place, such as aws/us-east-1a, is full.
	NoCapacity(place string) bool
}

// Fate is what happens to one call.
type Fate struct {
	Throttle  bool // refuse it in the vendor's own way; nothing is done
	Drop      bool // do it, then cut the connection instead of answering
	AsyncFail bool // say yes, and let what it started fail later
}

// NoFaults is a Faults that lets everything pass.
type NoFaults struct{}

// Call implements Faults.
func (NoFaults) Call(context.Context, string, string, bool) Fate { return Fate{} }

// Quota implements Faults.
func (NoFaults) Quota(string, string) (int, bool) { return 0, false }

// NoCapacity implements Faults.
func (NoFaults) NoCapacity(string) bool { return false }

// Object is one thing that a client made, as the inventory shows it.
type Object struct {
	Cloud  string            `json:"cloud"`
	Region string            `json:"region"`
	Kind   string            `json:"kind"` // vm, network, subnet, securityGroup, publicIp, router, port, key
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Tags   map[string]string `json:"tags"`
	State  string            `json:"state"`
	NetNS  string            `json:"netns"` // name under /run/netns while the machine runs
}
