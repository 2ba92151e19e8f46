package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Run takes part in the mesh until ctx ends, then says that this node is away,
// or until Leave, or until its own certificate is revoked, which gives
// [identity.ErrRevoked]. A ctx that ends with the cause [ErrReplaced] is no
// stop: nobody is told, and the next mesh goes on. It blocks; all its goroutines
// end before it returns. The device keeps its peers: closing it is the caller's part.
func (m *Mesh) Run(ctx context.Context) error {
	unregister, err := m.metrics.register(m.cfg.Registerer)
	defer unregister()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	ops, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer m.finish()
	defer cancel()
	m.mu.Lock()
	m.ops = ops
	m.mu.Unlock()
	if err := m.start(ctx); err != nil {
		return err
	}
	w, err := openWire(ops, m.net, m.grant.IP, m, m.log)
	if err != nil {
		return err
	}
	list, err := m.openGossip(w)
	if err != nil {
		return errors.Join(err, w.Shutdown())
	}
	var intro *introducer
	if m.cfg.Introduce != "" {
		if intro, err = m.openIntroducer(ctx); err != nil {
			return errors.Join(err, list.Shutdown(), w.Shutdown())
		}
	}
	m.mu.Lock()
	m.wire, m.list, m.running = w, list, true
	m.mu.Unlock()
	m.step(protocol.Opened{})

	var g errgroup.Group
	part := func(f func()) { g.Go(func() error { f(); return nil }) }
	run, stopRun := context.WithCancel(ctx)
	defer stopRun()
	if intro != nil {
		part(func() { intro.run(run) })
	}
	part(func() { m.announceLoop(run) })
	end := m.loop(run)
	m.stop(ctx, end)
	stopRun()
	cancel()
	return errors.Join(end, g.Wait(), m.shut())
}

// shut closes gossip and the wire.
func (m *Mesh) shut() error {
	m.finish() // nothing starts gossip anew from here on
	w, list := m.parts()
	return errors.Join(list.Shutdown(), w.Shutdown())
}

// finish ends what the machine has asked for.
func (m *Mesh) finish() {
	m.mu.Lock()
	if !m.over {
		m.over = true
		close(m.gone)
	}
	m.mu.Unlock()
	m.work.Wait()
}

// start makes the own record and sets the device. The machine is changed from
// then on.
func (m *Mesh) start(ctx context.Context) error {
	saved, err := m.load()
	if err != nil {
		return err
	}
	prefixes, err := m.net.Addresses(m.cfg.Interface)
	if err != nil {
		m.log.Warn("own addresses unknown", "err", err)
	}
	m.step(protocol.Start{Saved: saved, Addresses: prefixes})
	select {
	case err := <-m.started:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load reads what the last run left. What is damaged is dropped with a word:
// introducers can replace all of it.
func (m *Mesh) load() (protocol.Saved, error) {
	list, err := m.store.revocations()
	if err != nil {
		return protocol.Saved{}, fmt.Errorf("revocation list: %w", err)
	}
	last, err := m.store.record()
	if err != nil {
		m.log.Warn("saved version dropped", "err", err)
	}
	saved := protocol.Saved{Version: last.Version, Observed: last.Observed, List: list}
	if b := m.cfg.Before; b != nil {
		m.cfg.Before = nil // and not a chain of all meshes there ever were
		b.mu.Lock()
		defer b.mu.Unlock()
		was := b.machine.Saved()
		saved.Version, saved.Observed, saved.Peers = max(saved.Version, was.Version), was.Observed, was.Peers
		return saved, nil
	}
	if saved.Peers, err = m.store.peers(); err != nil {
		m.log.Warn("saved peers dropped", "err", err)
	}
	return saved, nil
}

// stop says goodbye within about a second: away, unless the node has left or
// nobody would believe it for what ended it.
func (m *Mesh) stop(ctx context.Context, end error) {
	m.mu.Lock()
	left := m.leaving
	m.running = false
	list := m.list
	m.mu.Unlock()
	goes := !left && end == nil && !errors.Is(context.Cause(ctx), ErrReplaced)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), awayBudget)
	defer cancel()
	if goes {
		if err := m.order(ctx, func(id uint64) protocol.Event { return protocol.Stop{ID: id} }); err != nil {
			m.log.Debug("away", "err", err)
		}
	}
	m.saveAll()
	if err := list.Leave(200 * time.Millisecond); err != nil {
		m.log.Debug("gossip leave", "err", err)
	}
}

// saveAll writes what is to be remembered, as of now.
func (m *Mesh) saveAll() {
	m.mu.Lock()
	saved := m.machine.Saved()
	unsaved := m.machine.ListUnsaved()
	m.mu.Unlock()
	if unsaved {
		if err := m.store.saveRevocations(saved.List); err != nil {
			m.log.Error("revocation list not saved", "err", err)
		}
	}
	if err := m.savePeers(saved.Peers); err != nil {
		m.log.Error("peers not saved", "err", err)
	}
}
