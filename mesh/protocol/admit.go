package protocol

import (
	"crypto/ed25519"
	"errors"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// admit verifies envelopes from elsewhere and takes what is new: into the
// book, not yet into the device (see setDevice). wait tells how long a node that
// was unknown is left alone, since it may not know us yet. It returns whose
// records they were, and whose were news.
func (m *Machine) admit(envelopes [][]byte, source string, wait func(node string) time.Duration) admitted {
	fresh := map[string]time.Duration{}
	named := map[string]bool{}
	for _, env := range envelopes {
		if node, ok := m.book.holder(env); ok {
			m.count(MetricRecords, string(verdictKnown))
			m.satisfy(node)
			named[node] = true
			continue
		}
		s, err := m.openRecord(env)
		if err == nil {
			named[s.Grant.Node] = true
		}
		switch {
		case errors.Is(err, identity.ErrRevoked), errors.Is(err, identity.ErrExpired):
			// Whoever sent it has not heard of it yet.
			m.count(MetricRecords, Fault(err))
			m.log.Debug("record refused", "source", source, "err", err)
			m.heedOwn(env)
		case err != nil:
			m.count(MetricRecords, Fault(err))
			m.warn("record refused", "source", source, "err", err)
		case s.Grant.Node == m.grant.Node:
			m.admitSelf(s)
		case m.admitPeer(s, source):
			fresh[s.Grant.Node] = wait(s.Grant.Node)
		}
	}
	if len(fresh) > 0 {
		m.saveWithin(saveSoon)
		if !m.follow(fresh) {
			m.refresh(fresh)
		}
		m.wakeUp()
	}
	return admitted{named: named, fresh: sorted(fresh)}
}

// admitted is what came of records from elsewhere.
type admitted struct {
	named map[string]bool // nodes that they were of, without those that were refused
	fresh []string        // of these, those whose records were news
}

// follow brings links in line with records that say no more than where their
// nodes are now, which is most of what is heard, and cheap. It reports false, and
// does nothing, if one says more.
func (m *Machine) follow(fresh map[string]time.Duration) bool {
	for name := range fresh {
		l, s := m.links[name], m.book.records[name]
		if l == nil || s == nil || s.Record.Left || s.Record.WireGuardKey != l.signed.Record.WireGuardKey || !s.Certificate.Equal(l.signed.Certificate) {
			return false
		}
	}
	for _, name := range sorted(fresh) {
		m.linked(m.links[name], m.book.records[name], m.now.Add(fresh[name]))
	}
	return true
}

// linked brings a link in line with its node's record.
func (m *Machine) linked(l *link, s *identity.Signed, quiet time.Time) {
	if l.signed.Hash != s.Hash {
		l.update(s, m.now, quiet)
	}
	l.offer(m.here(), m.now)
	l.paths.steers = steers(m.self, s)
}

// near reports whether a peer has an address in a network that this node is in.
func (m *Machine) near(r identity.Record) bool {
	cs := candidates(m.here(), r)
	return len(cs) > 0 && cs[0].class <= classLAN
}

// here is where this node is.
func (m *Machine) here() place {
	p := place{network: m.where.network, prefixes: m.where.prefixes, overlay: m.where.overlay}
	if m.where.observed.IsValid() {
		p.outside = append(p.outside, m.where.observed)
	}
	for _, s := range m.where.seen {
		p.outside = append(p.outside, s.Addr())
	}
	return p
}

// openRecord verifies an envelope.
func (m *Machine) openRecord(envelope []byte) (*identity.Signed, error) {
	if m.cfg.Open != nil {
		return m.cfg.Open(m.roots, envelope, m.now)
	}
	return m.roots.OpenRecord(envelope, m.now)
}

// admitPeer takes a verified record and reports whether it is news.
func (m *Machine) admitPeer(s *identity.Signed, source string) bool {
	v := m.book.add(s)
	m.count(MetricRecords, string(v))
	if v == verdictNewer && s.Record.Left && source != s.Grant.Node {
		m.showLeft(s)
	}
	if v == verdictConflict && m.conflicts[s.Grant.Node] != digestOf(s) {
		m.conflicts[s.Grant.Node] = digestOf(s)
		m.warn("record refused", "peer", s.Grant.Node, "source", source, "version", s.Record.Version,
			"reason", "two records of one version: the node lies, or two machines hold its key")
	}
	m.satisfy(s.Grant.Node)
	if v == verdictOlder {
		m.correct(source, s)
	}
	return v == verdictNew || v == verdictNewer
}

// showLeft sends a node that answers a record of its own that says it has left.
// If it has lost its state it does not know that record, nor that it is about to
// be dropped by everyone who hears of it; it makes a newer one.
func (m *Machine) showLeft(s *identity.Signed) {
	n := Notice{s.Envelope}
	if l := m.links[s.Grant.Node]; l != nil && m.opened && l.up() && n.size() <= maxNotice {
		m.do(SendNotice{s.Grant.IP, n})
	}
}

// correct owes a member that holds a record of an earlier certificate, with a
// higher version, the one in force, for when it is heard next. By its version it
// takes that for older and does not ask for it: a node that has lost its state
// counts from its clock.
func (m *Machine) correct(member string, s *identity.Signed) {
	node := s.Grant.Node
	if member != node && s.Record.Version > m.book.records[node].Record.Version {
		m.owe(member, []string{node}, maxTells-1)
	}
}

// admitSelf looks at what others hold as this node's own record. One that is
// newer, or of the same version, was made before this node lost its state: a
// still newer one replaces it.
func (m *Machine) admitSelf(s *identity.Signed) {
	m.satisfy(m.grant.Node)
	self := m.self
	if self == nil || s.Hash == self.Hash {
		return
	}
	switch o := s.Compare(self); {
	case o == identity.Older:
	case !s.Certificate.Equal(self.Certificate) && s.Certificate.NotBefore.After(self.Certificate.NotBefore):
		m.count(MetricRecords, "usurped")
		m.log.Error("this node's name was issued anew to another key: others will refuse this one", "serial", identity.SerialOf(s.Certificate))
	default:
		m.outdo(s.Record.Version)
	}
}

// heedOwn looks at a record whose certificate is no longer in force here: if it
// is this node's own of an earlier certificate for the same key, another node
// whose clock is behind may still hold it, and take the present one for older.
func (m *Machine) heedOwn(envelope []byte) {
	own, ok := m.cfg.Certificate.PublicKey.(ed25519.PublicKey)
	if !ok || m.self == nil {
		return
	}
	r, err := identity.OpenOwn(envelope, own)
	if err == nil && r.Node == m.grant.Node && r.Version >= m.self.Record.Version {
		m.outdo(r.Version)
	}
}

// outdo publishes a record above a version, unless that is about to be.
func (m *Machine) outdo(version uint64) {
	if m.publisher.present != nil && m.version > version {
		return
	}
	st := standingHere
	if m.self.Record.Away {
		st = standingAway
	}
	m.renew(st, version)
}

// yield is how long this node waits before it calls one that it has just heard
// of: of each pair, one side goes first.
func (m *Machine) yield(node string) time.Duration {
	if nameHash(m.grant.Node) < nameHash(node) {
		return 0
	}
	return yieldFor
}

// refresh brings links in line with the book. Nodes in fresh have just sent a
// record; if they were unknown they are left alone for so long.
func (m *Machine) refresh(fresh map[string]time.Duration) {
	dropped := m.book.prune(m.roots, m.now)
	for _, name := range sorted(dropped) {
		m.saveWithin(saveSoon)
		m.log.Info("peer removed", "peer", name, "reason", dropped[name])
		if len(m.gone) < MaxMembers {
			m.gone[name] = dropped[name]
		}
	}
	members, refused := resolve(m.self, m.book.records, m.claim)
	m.logClashes(refused)
	links := make(map[string]*link, len(members))
	before, names := m.names, make([]string, 0, len(members))
	m.byIP = make(map[netip.Addr]string, 2*len(members))
	for _, s := range members {
		name := s.Grant.Node
		wait, isFresh := fresh[name]
		quiet := m.now.Add(wait)
		l, ok := m.links[name]
		if !ok {
			l = m.link(s, quiet)
			if isFresh {
				m.log.Info("peer joined", "peer", name, "ip", s.Grant.IP)
			}
		}
		m.linked(l, s, quiet)
		delete(m.gone, name)
		links[name] = l
		names = append(names, name)
		m.byIP[s.Grant.IP], m.byIP[s.Grant.IP6] = name, name
	}
	m.links, m.names = links, names
	for _, name := range before {
		if links[name] == nil {
			m.forget(name)
		}
	}
}

// link makes the link to a node that was not in the device.
func (m *Machine) link(s *identity.Signed, quiet time.Time) *link {
	name := s.Grant.Node
	if m.opened && !m.learned[name].with(s).IsValid() && natted(s.Record) && !natted(m.self.Record) && !m.near(s.Record) {
		quiet = laterOf(quiet, m.now.Add(callerFor))
	}
	l := newLink(s, m.now, quiet, m.learned[name].with(s))
	l.rand = m.rand
	l.lag, l.repeats = m.yield(name), m.cfg.Repeats
	delete(m.learned, name)
	if !m.opened {
		l.greet = m.now.Add(greetFor) // remembered
	}
	return l
}

// forget ends what there is of a node that is no longer in the device.
func (m *Machine) forget(name string) {
	if s := m.book.records[name]; s != nil && s.Record.Left {
		m.log.Info("peer left", "peer", name)
	}
	delete(m.states, name)
	delete(m.eviction.held, name)
	delete(m.debts, name)
	m.sightings.drop(name)
	m.do(Changed{})
}

// proved reports whether a peer has answered through the tunnel with the
// WireGuard key that its record claims, in this run or the last one.
func (m *Machine) proved(s *identity.Signed) bool {
	if l := m.links[s.Grant.Node]; l != nil {
		return l.proved && l.signed.Record.WireGuardKey == s.Record.WireGuardKey
	}
	return m.learned[s.Grant.Node].with(s).IsValid()
}

func (m *Machine) logClashes(refused []clash) {
	now := make(map[string]string, len(refused))
	m.contested = map[string]bool{}
	for _, c := range refused {
		now[c.name] = c.reason
		m.contested[c.holder] = true
		if m.clashes[c.name] != c.reason {
			m.count(MetricRecords, "clash")
			m.log.Warn("peer refused", "peer", c.name, "reason", c.reason)
		}
	}
	m.clashes = now
}
