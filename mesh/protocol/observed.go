package protocol

import (
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// seen is where the peer is heard from, to be told to it; invalid if unknown or
// if this node itself has just put something else there.
func (l *link) seen() netip.AddrPort {
	if l.paths.trial || l.paths.searching || l.lastData.IsZero() || l.status.Endpoint != l.paths.using {
		return netip.AddrPort{}
	}
	return l.status.Endpoint
}

// sighted takes where a peer sees this node, and publishes it if it is news.
// Only those outside of this node's own network know where its NAT shows it,
// and an address of an interface is in the record anyway.
func (m *Machine) sighted(peer string, l *link, at netip.AddrPort) {
	a := at.Addr()
	switch {
	case !sendable(at, m.where.overlay) || a.IsPrivate(),
		classOf(l.here, l.status.Endpoint, l.signed.Record) <= classLAN,
		slices.Contains(m.where.advertise, a),
		slices.ContainsFunc(m.where.prefixes, func(p netip.Prefix) bool { return p.Addr() == a }):
		m.sightings.drop(peer)
		return
	}
	if m.sightings.by == nil {
		m.sightings.next = m.now.Add(min(time.Duration(len(m.links)-1)*sightEach, sightFor))
	}
	m.sightings.take(peer, at, m.now)
	m.publishSeen()
}

// publishSeen publishes where peers see this node, if that is news and due.
func (m *Machine) publishSeen() {
	if m.self == nil || m.self.Record.Away || m.self.Record.Left || !m.sightings.due(m.now) {
		return
	}
	m.where.seen = m.sightings.published
	m.log.Debug("seen by peers", "endpoint", m.where.seen)
	if !slices.Equal(m.where.endpoints(), m.self.Record.Endpoints) {
		m.renew(standingHere, 0)
	}
}

// natted reports whether a node is reached through a NAT only, as far as its
// record says: no address of its own is public.
func natted(r identity.Record) bool {
	return len(r.Endpoints) > 0 && !slices.ContainsFunc(r.Endpoints, func(e identity.Endpoint) bool {
		a := e.Addr.Addr().Unmap()
		return e.Kind == identity.KindPublic || e.Kind == identity.KindPrivate && !a.IsPrivate() && !carrierNAT.Contains(a)
	})
}

// carrierNAT is between subscribers and their carrier's NAT (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// seenBehindNAT reports whether others have seen a node at an address that is
// not its own.
func seenBehindNAT(r identity.Record) bool {
	is := func(k identity.EndpointKind) bool {
		return slices.ContainsFunc(r.Endpoints, func(e identity.Endpoint) bool { return e.Kind == k })
	}
	return is(identity.KindObserved) && !is(identity.KindPublic)
}

// steers reports whether the first of two nodes makes the trials of their pair:
// the one behind a NAT if only one is, for the other cannot call it at will;
// else the one whose name has the lower hash.
func steers(self, peer *identity.Signed) bool {
	if a, b := natted(self.Record), natted(peer.Record); a != b {
		return a
	}
	return nameHash(self.Grant.Node) < nameHash(peer.Grant.Node)
}
