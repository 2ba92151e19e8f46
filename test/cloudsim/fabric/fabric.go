// Package fabric is the ground that simulated clouds stand on: networks with
// routers, public addresses, security groups, and machines that really boot.
//
// A [Fabric] makes, on one Linux host and in its current network namespace, an
// "internet" of its own (198.18.0.0/15, where this host is 198.18.0.1). Each
// [Network] is a network namespace with a router in it; each [VM] is a host in
// its own network, mount, PID, UTS and IPC namespaces with a disk of its own
// (an overlay over this host's root file system), whose PID 1 runs the real
// cloud-init and then the init scripts of run level 2.
//
//	    this host  198.18.0.1/15
//	   ──────┬──────────────────── csim0 (bridge) ──┬─────────
//	         │ up: public addresses                 │ up
//	┌────────┴─────────┐                   ┌────────┴─────────┐
//	│ router           │ NAT, security     │ router           │
//	│ 169.254.169.254  │ groups, metadata  │ 169.254.169.254  │
//	└──┬───────────┬───┘                   └──┬───────────────┘
//	v1 │        v2 │   point to point      v3 │
//	┌──┴───┐   ┌───┴──┐                   ┌───┴──┐
//	│ eth0 │   │ eth0 │ 10.0.1.0/24       │ eth0 │ 10.0.1.0/24 as well
//	└──────┘   └──────┘                   └──────┘
//
// All traffic of a VM passes its router, so that nothing inside the VM can get
// around its security groups, nor send from an address that is not its own.
//
// It is not a cloud: it has no accounts, regions, quotas or wire protocols; those
// are in the packages beside it. The kernel of all VMs is this host's: modules,
// clocks and the sysctls outside of namespaces are shared. Linux only, as root;
// with [Options.NoMachines] anywhere, but then VMs only change state.
//
// A program that opens a Fabric with machines must call [Init] first in main,
// because PID 1 of a VM is the same executable started again:
//
//	func main() {
//		if fabric.IsInit(os.Args) {
//			os.Exit(fabric.Init())
//		}
//		...
//	}
//
// All methods may be called concurrently.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Options are the settings of a [Fabric].
type Options struct {
	// StateDir holds the disks of the VMs; it is created if missing. Ignored
	// with NoMachines.
	StateDir string

	// BootTime passes between StartVM and the start of the VM's PID 1. It
	// stands for scheduling and hardware; the guest's own boot comes on top
	// (about 3 s, the real cloud-init). 0 = none.
	BootTime time.Duration

	// Times returns, for the machines of one cloud ([VM.Cloud]), what stands in
	// for BootTime, and how long a deleted machine stays in StateTerminating
	// after it went down. It is asked when a machine is started and when it is
	// down. Nil = BootTime, and no longer than it takes.
	Times func(cloud string) (boot, removal time.Duration)

	// Log gets what happens; nil = nothing.
	Log *slog.Logger

	// NoMachines makes no namespace, link or process: VMs change state and
	// nothing else, and neither root nor Linux is needed.
	NoMachines bool
}

// Fabric holds networks and machines. Make one with [Open].
type Fabric struct {
	opts Options
	log  *slog.Logger
	host host

	ctx    context.Context // ends with Close; what VMs run under
	cancel context.CancelFunc
	wg     sync.WaitGroup // one per VM that is not at rest

	mu       sync.Mutex // guards the fields below
	closed   bool
	pool     *pool
	networks map[string]*network
	vms      map[string]*machine
	gone     []string // terminated VMs, oldest first, at most maxGone
	nextNet  int
	nextVM   int
}

// host is the machine border: what a fabric needs of the system below it.
// Routers and guests are named by their index, which is never used again.
type host interface {
	// addRouter makes the router of a network, its metadata service included.
	addRouter(ctx context.Context, c routerConfig) error
	// setRouter brings addresses, NAT and filter of a router to the wanted
	// state, at once for the filter; repeats are welcome.
	setRouter(ctx context.Context, c routerConfig) error
	removeRouter(ctx context.Context, index int) error
	// boot starts a guest; its disk is made at the first boot.
	boot(ctx context.Context, b bootConfig) (guest, error)
	// netns is the name under /run/netns of a guest that runs.
	netns(vm int) string
	removeDisk(vm int) error
	close(ctx context.Context) error
}

// guest is a machine that runs.
type guest interface {
	// exited is closed when the machine is down and its link is gone.
	exited() <-chan struct{}
	// wantsReboot tells, after exited, that the guest asked for a reboot.
	wantsReboot() bool
	// shutdown asks the guest to go down; kill ends it at once.
	shutdown()
	kill()
}

// Open makes the internet, after removing what an earlier fabric left here that
// died without Close. It returns a *[LockedError] when another one is alive in
// this network namespace.
func Open(ctx context.Context, o Options) (*Fabric, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.BootTime < 0 {
		return nil, fmt.Errorf("boot time %s: must not be negative", o.BootTime)
	}
	var h host = paperHost{}
	if !o.NoMachines {
		var err error
		if h, err = openLinux(ctx, o); err != nil {
			return nil, err
		}
	}
	f := &Fabric{
		opts:     o,
		log:      o.Log.With("component", "fabric"),
		host:     h,
		pool:     newPool(),
		networks: map[string]*network{},
		vms:      map[string]*machine{},
	}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return f, nil
}

// Close ends every VM at once and removes everything the fabric made. Ctx bounds
// how long it waits. Closing again does nothing.
func (f *Fabric) Close(ctx context.Context) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.mu.Unlock()
	f.cancel() // every machine kills its guest
	done := make(chan struct{})
	go func() {
		f.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("end machines: %w", ctx.Err())
	}
	return errors.Join(err, f.host.close(ctx))
}

// AllocatePublic takes an address of the internet that nobody has.
func (f *Fabric) AllocatePublic(_ context.Context) (netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return netip.Addr{}, ErrClosed
	}
	return f.pool.allocate()
}

// ReleasePublic gives an address back. It returns ErrInUse while the address is
// mapped and ErrNotFound if it is not allocated.
func (f *Fabric) ReleasePublic(public netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.networks {
		if private, ok := n.public[public]; ok || n.gatewayIP == public {
			return fmt.Errorf("public address %s of %s in network %s: %w", public, private, n.ID, ErrInUse)
		}
	}
	return f.pool.release(public)
}
