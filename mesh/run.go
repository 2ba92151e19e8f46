package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/identity"
)

// Run takes part in the mesh until ctx ends, then says that this node is away,
// or until Leave, or until its own certificate is revoked, which gives
// [identity.ErrRevoked]. A ctx that ends with the cause [ErrReplaced] is no
// stop: nobody is told, and the next mesh goes on. It blocks; all its goroutines end before it returns. The
// device keeps its peers: closing it is the caller's part.
func (m *Mesh) Run(ctx context.Context) error {
	unregister, err := m.metrics.register(m.cfg.Registerer)
	defer unregister()
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if err := m.load(); err != nil {
		return err
	}
	if err := m.publish(standingHere, 0); err != nil {
		return err
	}
	// From here on the machine is changed.
	if err := m.apply(ctx); err != nil {
		return fmt.Errorf("device: %w", err)
	}
	w, err := openWire(ctx, m.net, m.grant.IP, m, m.log)
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
			return errors.Join(err, list.Shutdown())
		}
	}
	m.mu.Lock()
	m.wire, m.list, m.running = w, list, true
	m.mu.Unlock()

	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	part := func(f func()) { g.Go(func() error { f(); return nil }) }
	if intro != nil {
		part(func() { intro.run(run) })
	}
	part(func() { m.fetchLoop(run) })
	part(func() { m.gossipLoop(run, list) })
	part(func() { m.joinLoop(run) })
	part(func() { m.saveLoop(run) })
	end := m.loop(run)
	m.stop(ctx, end)
	cancel()
	return errors.Join(end, g.Wait(), list.Shutdown())
}

// load reads what the last run left. What is damaged or no longer valid is
// dropped with a word: introducers can replace all of it.
func (m *Mesh) load() error {
	if err := m.loadList(); err != nil {
		return err
	}
	if _, err := m.roots.Verify(m.cfg.Bundle.Certificate, m.now()); err != nil {
		return fmt.Errorf("own certificate: %w", err)
	}
	last, err := m.store.record()
	if err != nil {
		m.log.Warn("saved version dropped", "err", err)
	}
	m.version, m.where.observed = last.Version, last.Observed
	peers, err := m.lastPeers()
	if err != nil {
		m.log.Warn("saved peers dropped", "err", err)
	}
	for _, p := range peers {
		s, err := m.roots.OpenRecord(p.Envelope, m.now())
		if err != nil {
			m.log.Debug("saved peer dropped", "err", err)
			continue
		}
		if s.Grant.Node == m.grant.Node {
			continue
		}
		m.book.add(s)
		if sendable(p.Endpoint, m.where.overlay) {
			m.learned[s.Grant.Node] = p.Endpoint
		}
	}
	return nil
}

// loadList puts the saved revocation list in force, unless the bundle brought a
// newer one: then that is saved.
func (m *Mesh) loadList() error {
	signed, err := m.store.revocations()
	if err != nil {
		return fmt.Errorf("revocation list: %w", err)
	}
	brought := m.roots.Revocations()
	if signed != nil {
		_, err = m.roots.Apply(signed)
	}
	// Once an authority is given up, so are its lists: the new one has signed
	// what they say.
	if err != nil && !errors.Is(err, identity.ErrOutdated) && (brought == nil || !errors.Is(err, identity.ErrUntrusted)) {
		m.log.Warn("saved revocation list dropped", "err", err)
	}
	if list := m.roots.Revocations(); list != nil && !bytes.Equal(list, signed) {
		m.saveList()
	}
	return nil
}

// lastPeers returns the peers of the last run, or of the mesh before.
func (m *Mesh) lastPeers() ([]remembered, error) {
	b := m.cfg.Before
	if b == nil {
		return m.store.peers()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m.version, m.where.observed = max(m.version, b.version), b.where.observed
	return b.rememberedLocked(), nil
}

// loop is level-triggered: events only wake it, and each turn computes all. It
// ends with ctx, after a leave, or with an error if this node is revoked: up to
// a second later, so that whoever told it can be answered and others be told.
func (m *Mesh) loop(ctx context.Context) error {
	ticker := time.NewTicker(m.timing.Tick)
	defer ticker.Stop()
	var observed, looked time.Time
	looked = m.now()
	for {
		now := m.now()
		fresh := now.Sub(observed) >= time.Second
		if fresh {
			observed = now
			if m.roots.Revoked(m.cfg.Bundle.Certificate) {
				return fmt.Errorf("own certificate: %w", identity.ErrRevoked)
			}
			m.expire()
		}
		m.tick(ctx, fresh)
		if now.Sub(looked) > 5*time.Second {
			looked = now
			if m.moved() {
				if err := m.publish(standingHere, 0); err != nil {
					m.log.Warn("own record not renewed", "err", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.left:
			return nil
		case <-m.wake:
		case <-ticker.C:
		}
	}
}

// expire drops peers whose certificates have run out.
func (m *Mesh) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, l := range m.links {
		if now.After(l.signed.Certificate.NotAfter) {
			m.refreshLocked(nil)
			return
		}
	}
}

// stop says goodbye within about a second: away, unless the node has left or
// nobody would believe it for what ended it.
func (m *Mesh) stop(ctx context.Context, end error) {
	m.mu.Lock()
	left := m.leaving
	m.running = false
	m.mu.Unlock()
	goes := !left && end == nil && !errors.Is(context.Cause(ctx), ErrReplaced)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), awayBudget)
	defer cancel()
	if goes {
		if err := m.publish(standingAway, 0); err != nil {
			m.log.Warn("peers not told of the stop", "err", err)
		} else {
			m.log.Debug("away", "told", m.spreadSelf(ctx))
		}
	}
	m.save()
	m.mu.Lock()
	list := m.list
	m.mu.Unlock()
	if err := list.Leave(200 * time.Millisecond); err != nil {
		m.log.Debug("gossip leave", "err", err)
	}
}
