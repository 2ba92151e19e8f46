package fabric

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// stopGrace is how long a guest may take to go down by itself; it is short
// because nothing of value is lost when it is cut off, and long enough for its
// init scripts to say good-bye to their peers.
const stopGrace = 5 * time.Second

// maxGone bounds how many terminated VMs are remembered with their consoles.
const maxGone = 256

// goal is what the owner of a VM wants of it.
type goal int

const (
	goalRun goal = iota
	goalReboot
	goalStop
	goalTerminate
)

// datasources are those of cloud-init that work in a VM.
var datasources = []string{"AliYun", "Azure", "Ec2", "GCE", "OpenStack"}

// machine is a VM with its state. One goroutine runs it while it is not at rest.
type machine struct {
	VM
	index   int
	console *console
	wake    chan struct{} // 1-deep: the goal has changed

	// guarded by Fabric.mu
	state   State
	goal    goal
	changed chan struct{} // closed and replaced at each change of state
}

// bootConfig is what a host needs to start a guest.
type bootConfig struct {
	VM
	Index   int // of the VM
	Router  int // index of its network's router
	Gateway netip.Addr
	Console *console
}

// StartVM makes a VM and boots it, or boots a stopped one with its old disk and
// the new definition. It returns at once; the boot runs in the background. The
// errors are ErrExists for a VM that is not stopped, ErrInUse for an address that
// another VM has, ErrNotFound for the network.
func (f *Fabric) StartVM(_ context.Context, v VM) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	n := f.networks[v.NetworkID]
	if n == nil {
		return fmt.Errorf("network %s of machine %s: %w", v.NetworkID, v.ID, ErrNotFound)
	}
	if err := f.complete(&v, n); err != nil {
		return err
	}
	for id, o := range f.vms {
		if id != v.ID && o.NetworkID == v.NetworkID && o.PrivateIP == v.PrivateIP && o.state != StateTerminated {
			return fmt.Errorf("address %s of machine %s by %s: %w", v.PrivateIP, v.ID, id, ErrInUse)
		}
	}
	m := f.vms[v.ID]
	switch {
	case m == nil:
		f.nextVM++
		m = &machine{index: f.nextVM, console: newConsole(), wake: make(chan struct{}, 1), changed: make(chan struct{})}
		f.vms[v.ID] = m
	case m.state != StateStopped:
		return fmt.Errorf("machine %s (%s): %w", v.ID, m.state, ErrExists)
	}
	m.VM = v
	m.goal = goalRun
	f.setStateLocked(m, StatePending)
	f.wg.Go(func() { f.run(m, n) })
	return nil
}

// complete checks a VM against its network and fills in what it left out.
func (f *Fabric) complete(v *VM, n *network) error {
	if v.ID == "" {
		return fmt.Errorf("machine %s: wants an id", v.Hostname)
	}
	if f.opts.Times != nil && v.Cloud == "" {
		return fmt.Errorf("machine %s: wants the name of its cloud", v.ID)
	}
	if v.Agent == "" && !slices.Contains(datasources, v.Datasource) {
		return fmt.Errorf("machine %s: datasource %q: want one of %v", v.ID, v.Datasource, datasources)
	}
	if !v.Subnet.IsValid() {
		v.Subnet = n.CIDR
	}
	v.Subnet = v.Subnet.Masked()
	if !n.CIDR.Contains(v.Subnet.Addr()) || v.Subnet.Bits() < n.CIDR.Bits() || v.Subnet.Bits() > 30 {
		return fmt.Errorf("machine %s: subnet %s: not in %s of network %s", v.ID, v.Subnet, n.CIDR, n.ID)
	}
	if !v.Subnet.Contains(v.PrivateIP) || v.PrivateIP == v.Subnet.Addr() || v.PrivateIP == v.gateway() {
		return fmt.Errorf("machine %s: address %s: not a host's address in %s", v.ID, v.PrivateIP, v.Subnet)
	}
	if v.MTU == 0 {
		v.MTU = n.MTU
	}
	if v.Hostname == "" {
		v.Hostname = v.ID
	}
	if v.MAC == nil {
		v.MAC = make(net.HardwareAddr, 6)
		b := v.PrivateIP.As4()
		binary.BigEndian.PutUint16(v.MAC, 0x0216) // locally administered
		copy(v.MAC[2:], b[:])
	}
	return nil
}

func (v *VM) gateway() netip.Addr { return v.Subnet.Masked().Addr().Next() }

// StopVM shuts a VM down and keeps its disk. It returns at once; the VM is
// stopped when [Fabric.VMState] says so. Stopping a stopped VM does nothing.
func (f *Fabric) StopVM(_ context.Context, id string) error {
	return f.setGoal(id, goalStop, StateStopping)
}

// RebootVM shuts a VM that is on down and starts it again with its disk. It
// returns at once.
func (f *Fabric) RebootVM(_ context.Context, id string) error {
	return f.setGoal(id, goalReboot, StateRebooting)
}

// DeleteVM shuts a VM down and removes its disk. It returns at once. Deleting a
// terminated VM does nothing.
func (f *Fabric) DeleteVM(_ context.Context, id string) error {
	return f.setGoal(id, goalTerminate, StateTerminating)
}

// setGoal records what is wanted of a VM and wakes or starts what runs it.
func (f *Fabric) setGoal(id string, g goal, next State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.vms[id]
	switch {
	case f.closed:
		return ErrClosed
	case m == nil:
		return fmt.Errorf("machine %s: %w", id, ErrNotFound)
	case m.state == StateTerminated && g == goalTerminate, m.state == StateStopped && g == goalStop:
		return nil
	case m.state == StateTerminated, m.state == StateTerminating && g != goalTerminate,
		g == goalReboot && m.state != StateRunning && m.state != StateRebooting:
		return fmt.Errorf("machine %s (%s): %w", id, m.state, ErrState)
	}
	atRest := m.state == StateStopped
	m.goal = g
	f.setStateLocked(m, next)
	if atRest {
		n := f.networks[m.NetworkID]
		f.wg.Go(func() { f.run(m, n) })
		return nil
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

// VMState is where a VM is in its life; StateNone if it is not known.
func (f *Fabric) VMState(id string) State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.vms[id]; m != nil {
		return m.state
	}
	return StateNone
}

// WaitVM returns when a VM is in the wanted state. ErrNotFound says that it is
// not known, ErrState that it ended in another state at rest.
func (f *Fabric) WaitVM(ctx context.Context, id string, want State) error {
	for {
		f.mu.Lock()
		m := f.vms[id]
		if m == nil {
			f.mu.Unlock()
			return fmt.Errorf("machine %s: %w", id, ErrNotFound)
		}
		state, changed := m.state, m.changed
		f.mu.Unlock()
		switch {
		case state == want:
			return nil
		case state == StateTerminated, state == StateStopped:
			return fmt.Errorf("machine %s is %s, not %s: %w", id, state, want, ErrState)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("machine %s is %s, not %s: %w", id, state, want, ctx.Err())
		}
	}
}

// NetNS is the name under /run/netns of a running VM's network namespace; empty
// while the VM does not run.
func (f *Fabric) NetNS(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.vms[id]
	if m == nil || m.state != StateRunning {
		return ""
	}
	return f.host.netns(m.index)
}

// Console is the last output of a VM's console, of all its boots, at most 64 KiB;
// nil if the VM is not known.
func (f *Fabric) Console(id string) []byte {
	f.mu.Lock()
	m := f.vms[id]
	f.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.console.bytes()
}

func (f *Fabric) setStateLocked(m *machine, s State) {
	m.state = s
	close(m.changed)
	m.changed = make(chan struct{})
}
