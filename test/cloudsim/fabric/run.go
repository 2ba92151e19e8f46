package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run takes a machine to its goal and returns when it is at rest: stopped or
// terminated.
func (f *Fabric) run(m *machine, n *network) {
	boot, _ := f.times(m)
	for f.goalOf(m) == goalRun {
		if !f.pause(m, boot) {
			continue // another goal, or the end
		}
		if !f.live(m, n) {
			break
		}
		boot = 0 // a reboot keeps its place on the hypervisor
	}
	f.rest(m)
}

// live boots a machine and returns when it is down. Again says that it is to be
// started once more.
func (f *Fabric) live(m *machine, n *network) (again bool) {
	ctx := f.ctx
	err := f.plug(ctx, m, n)
	if err == nil {
		var g guest
		g, err = f.host.boot(ctx, bootConfig{VM: m.VM, Index: m.index, Router: n.index, Gateway: m.gateway(), Console: m.console})
		if err == nil {
			f.mu.Lock()
			if m.goal == goalRun {
				f.setStateLocked(m, StateRunning)
			}
			f.mu.Unlock()
			f.log.Info("machine runs", "vm", m.ID, "netns", f.host.netns(m.index))
			again = f.attend(m, g)
		}
	}
	if err != nil && ctx.Err() == nil {
		f.log.Error("machine did not boot", "vm", m.ID, "err", err)
		fmt.Fprintf(m.console, "cloudsim: %v\n", err)
	}
	if err := f.unplug(m, n); err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
		f.log.Warn("port stays", "vm", m.ID, "err", err)
	}
	return again
}

// attend waits until a guest is down, and takes it down when the goal says so.
func (f *Fabric) attend(m *machine, g guest) (again bool) {
	for {
		select {
		case <-g.exited():
			f.mu.Lock()
			defer f.mu.Unlock()
			if m.goal != goalRun && m.goal != goalReboot {
				return false
			}
			again = m.goal == goalReboot || g.wantsReboot()
			m.goal = goalRun
			if again {
				f.setStateLocked(m, StateRebooting)
			} else {
				m.goal = goalStop // it powered itself off
			}
			return again
		case <-m.wake:
			if f.goalOf(m) == goalRun {
				continue
			}
			g.shutdown()
			f.await(g)
		case <-f.ctx.Done():
			g.kill()
			<-g.exited()
			return false
		}
	}
}

// await gives a guest its grace to go down and then ends it.
func (f *Fabric) await(g guest) {
	t := time.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-g.exited():
		return
	case <-t.C:
	case <-f.ctx.Done():
	}
	g.kill()
	<-g.exited()
}

// times returns how long a machine's start and its removal take.
func (f *Fabric) times(m *machine) (boot, removal time.Duration) {
	if f.opts.Times != nil {
		return f.opts.Times(m.Cloud)
	}
	return f.opts.BootTime, 0
}

// rest ends a machine's run in the state that its goal asks for.
func (f *Fabric) rest(m *machine) {
	if _, removal := f.times(m); removal > 0 && f.goalOf(m) == goalTerminate {
		t := time.NewTimer(removal)
		defer t.Stop()
		select {
		case <-t.C:
		case <-f.ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.goal != goalTerminate && f.ctx.Err() == nil {
		f.setStateLocked(m, StateStopped)
		f.log.Info("machine is stopped", "vm", m.ID)
		return
	}
	f.mu.Unlock()
	if err := f.host.removeDisk(m.index); err != nil && f.ctx.Err() == nil {
		f.log.Warn("disk stays", "vm", m.ID, "err", err)
	}
	f.mu.Lock()
	f.setStateLocked(m, StateTerminated)
	f.log.Info("machine is gone", "vm", m.ID)
	f.gone = append(f.gone, m.ID)
	if len(f.gone) > maxGone {
		delete(f.vms, f.gone[0])
		f.gone = f.gone[1:]
	}
}

// plug makes a machine known to its router, before the link exists: filter first.
func (f *Fabric) plug(ctx context.Context, m *machine, n *network) error {
	return f.change(ctx, n.ID, func(n *network) error {
		n.ports[m.PrivateIP] = m
		return nil
	})
}

func (f *Fabric) unplug(m *machine, n *network) error {
	return f.change(context.WithoutCancel(f.ctx), n.ID, func(n *network) error {
		if n.ports[m.PrivateIP] == m {
			delete(n.ports, m.PrivateIP)
		}
		return nil
	})
}

func (f *Fabric) goalOf(m *machine) goal {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return goalTerminate
	}
	return m.goal
}

// pause waits for d and says whether nothing came between.
func (f *Fabric) pause(m *machine, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return f.goalOf(m) == goalRun
	case <-m.wake:
		return false
	case <-f.ctx.Done():
		return false
	}
}
