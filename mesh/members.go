package mesh

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// admit verifies envelopes from elsewhere and takes what is new: into the
// book, not yet into the device (see apply). wait tells how long a node that
// was unknown is left alone, since it may not know us yet.
func (m *Mesh) admit(envelopes [][]byte, source string, wait func(node string) time.Duration) {
	fresh := map[string]time.Duration{}
	for _, env := range envelopes {
		s, err := m.roots.OpenRecord(env, m.now())
		switch {
		case errors.Is(err, identity.ErrRevoked), errors.Is(err, identity.ErrExpired):
			// Whoever sent it has not heard of it yet.
			m.metrics.records.WithLabelValues(fault(err)).Inc()
			m.log.Debug("record refused", "source", source, "err", err)
		case err != nil:
			m.metrics.records.WithLabelValues(fault(err)).Inc()
			m.warn("record refused", "source", source, "err", err)
		case s.Grant.Node == m.grant.Node:
			m.admitSelf(s)
		case m.admitPeer(s, source):
			fresh[s.Grant.Node] = wait(s.Grant.Node)
		}
	}
	if len(fresh) > 0 {
		m.mu.Lock()
		m.saveLocked(saveSoon)
		m.refreshLocked(fresh)
		m.mu.Unlock()
		notify(m.wake)
	}
}

// admitPeer takes a verified record and reports whether it is news.
func (m *Mesh) admitPeer(s *identity.Signed, source string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.book.add(s)
	m.metrics.records.WithLabelValues(string(v)).Inc()
	if v == verdictConflict && m.conflicts[s.Grant.Node] != digestOf(s) {
		m.conflicts[s.Grant.Node] = digestOf(s)
		m.warn("record refused", "peer", s.Grant.Node, "source", source, "version", s.Record.Version,
			"reason", "two records of one version: the node lies, or two machines hold its key")
	}
	m.satisfyLocked(s.Grant.Node)
	return v == verdictNew || v == verdictNewer
}

// admitSelf looks at what others hold as this node's own record. One that is
// newer, or of the same version, was made before this node lost its state: a
// still newer one replaces it.
func (m *Mesh) admitSelf(s *identity.Signed) {
	m.mu.Lock()
	self := m.self
	m.satisfyLocked(m.grant.Node)
	m.mu.Unlock()
	if self == nil || s.Hash == self.Hash {
		return
	}
	switch o := s.Compare(self); {
	case o == identity.Older:
	case !s.Certificate.Equal(self.Certificate) && s.Certificate.NotBefore.After(self.Certificate.NotBefore):
		m.metrics.records.WithLabelValues("usurped").Inc()
		m.log.Error("this node's name was issued anew to another key: others will refuse this one", "serial", identity.SerialOf(s.Certificate))
	default:
		st := standingHere
		if self.Record.Away {
			st = standingAway
		}
		if err := m.publish(st, s.Record.Version); err != nil {
			m.log.Warn("own record not renewed", "err", err)
		}
	}
}

// yield is how long this node waits before it calls one that it has just heard
// of: of each pair, one side goes first.
func (m *Mesh) yield(node string) time.Duration {
	if nameHash(m.grant.Node) < nameHash(node) {
		return 0
	}
	return yieldFor
}

// refreshLocked brings links in line with the book. Nodes in fresh have just
// sent a record; if they were unknown they are left alone for so long.
func (m *Mesh) refreshLocked(fresh map[string]time.Duration) {
	now := m.now()
	for name, why := range m.book.prune(m.roots, now) {
		m.saveLocked(saveSoon)
		m.log.Info("peer removed", "peer", name, "reason", why)
	}
	members, refused := resolve(m.self, m.book.records, m.provedLocked)
	m.logClashesLocked(refused)
	self := place{network: m.where.network, prefixes: m.where.prefixes, overlay: m.where.overlay}
	links := make(map[string]*link, len(members))
	m.byIP = make(map[netip.Addr]string, 2*len(members))
	for _, s := range members {
		name := s.Grant.Node
		wait, isFresh := fresh[name]
		quiet := now.Add(wait)
		l, ok := m.links[name]
		switch {
		case !ok:
			l = newLink(s, now, quiet, m.learned[name])
			l.lag = m.yield(name)
			delete(m.learned, name)
			if !m.running {
				l.greet = now.Add(greetFor) // remembered
			}
			if isFresh {
				m.log.Info("peer joined", "peer", name, "ip", s.Grant.IP)
			}
		case l.signed.Hash != s.Hash:
			l.update(s, now, quiet)
		}
		l.offer(candidates(self, s.Record), now)
		links[name] = l
		m.byIP[s.Grant.IP], m.byIP[s.Grant.IP6] = name, name
	}
	for name := range m.links {
		if _, ok := links[name]; ok {
			continue
		}
		if s := m.book.records[name]; s != nil && s.Record.Left {
			m.log.Info("peer left", "peer", name)
		}
		delete(m.states, name)
		notify(m.changed)
	}
	m.links = links
}

// provedLocked reports whether a peer has answered through the tunnel with the
// WireGuard key that its record claims, in this run or the last one.
func (m *Mesh) provedLocked(s *identity.Signed) bool {
	if l := m.links[s.Grant.Node]; l != nil {
		return l.proved && l.signed.Record.WireGuardKey == s.Record.WireGuardKey
	}
	return m.learned[s.Grant.Node].IsValid()
}

func (m *Mesh) logClashesLocked(refused []clash) {
	now := make(map[string]string, len(refused))
	for _, c := range refused {
		now[c.name] = c.reason
		if m.clashes[c.name] != c.reason {
			m.metrics.records.WithLabelValues("clash").Inc()
			m.log.Warn("peer refused", "peer", c.name, "reason", c.reason)
		}
	}
	m.clashes = now
}

// apply sets the device to what the records say. Equal configurations are not
// set twice. Peers whose address was changed for a trial are taken out first:
// WireGuard then starts a handshake at once instead of after its retry time.
func (m *Mesh) apply(ctx context.Context) error {
	m.applyMu.Lock()
	defer m.applyMu.Unlock()
	cfg, resets := m.wanted()
	if m.applied != nil && len(resets) == 0 && reflect.DeepEqual(*m.applied, cfg) {
		return nil
	}
	m.applied = nil
	err := m.set(ctx, cfg, resets)
	for try := 0; try < maxRefusals && m.refuse(err); try++ {
		cfg, _ = m.wanted()
		err = m.set(ctx, cfg, resets)
	}
	m.metrics.sets.WithLabelValues(result(err)).Inc()
	if failed := err != nil && ctx.Err() == nil; failed != m.setFailed {
		m.setFailed = failed
		if failed {
			m.log.Error("device not set, trying on", "err", err)
		} else {
			m.log.Info("device set again")
		}
	}
	if err != nil {
		return err
	}
	m.applied = &cfg
	return nil
}

// set sets the device, at first without the peers that are to be reset.
func (m *Mesh) set(ctx context.Context, cfg overlay.Config, resets []overlay.Key) error {
	var err error
	if len(resets) > 0 {
		without := cfg
		without.Peers = slices.DeleteFunc(slices.Clone(cfg.Peers), func(p overlay.Peer) bool { return slices.Contains(resets, p.PublicKey) })
		err = m.cfg.Device.Set(ctx, without)
	}
	return errors.Join(err, m.cfg.Device.Set(ctx, cfg))
}

// refuse takes those endpoints out that the device names as the reason why it
// was not set: one peer must not keep the others out. It reports whether there
// were any.
func (m *Mesh) refuse(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := false
	for _, fault := range routeErrors(err) {
		for name, l := range m.links {
			if overlay.Key(l.signed.Record.WireGuardKey) != fault.Peer || l.endpoint != fault.Of {
				continue
			}
			found = true
			l.refuse(fault.Of)
			m.metrics.records.WithLabelValues("endpoint").Inc()
			m.warn("endpoint refused", "peer", name, "endpoint", fault.Of, "reason", fault.What)
		}
	}
	return found
}

// routeErrors finds the faults of single endpoints in all branches of an error.
func routeErrors(err error) []*overlay.RouteError {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *overlay.RouteError:
		if !e.Peer.IsZero() {
			return []*overlay.RouteError{e}
		}
	case interface{ Unwrap() error }:
		return routeErrors(e.Unwrap())
	case interface{ Unwrap() []error }:
		var found []*overlay.RouteError
		for _, err := range e.Unwrap() {
			found = append(found, routeErrors(err)...)
		}
		return found
	}
	return nil
}

// setDevice applies where nobody waits for the result: the loop tries again.
func (m *Mesh) setDevice(ctx context.Context) { _ = m.apply(ctx) }

// warn logs what others do wrong, at a bounded rate: they must not fill the disk.
func (m *Mesh) warn(msg string, args ...any) {
	if m.warnings.Allow() {
		m.log.Warn(msg, args...)
	}
}

// wanted returns the whole configuration, and whom to take out first.
func (m *Mesh) wanted() (cfg overlay.Config, resets []overlay.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	members := make([]member, 0, len(m.links))
	for _, l := range m.links {
		members = append(members, member{signed: l.signed, endpoint: l.endpoint, quiet: l.isQuiet(now)})
		l.known = true
		if l.reset {
			resets = append(resets, overlay.Key(l.signed.Record.WireGuardKey))
			l.reset = false
		}
	}
	slices.SortFunc(members, func(a, b member) int { return a.signed.Grant.IP.Compare(b.signed.Grant.IP) })
	return desired(base{key: m.cfg.PrivateKey, port: m.cfg.Port, mtu: m.cfg.MTU, mesh: m.roots.Mesh(), grant: m.grant}, members), resets
}
