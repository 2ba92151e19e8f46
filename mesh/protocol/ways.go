package protocol

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// Way returns how a peer is reached as of a time, and false if there is no such
// peer.
func (m *Machine) Way(name string, now time.Time) (Way, bool) {
	l := m.links[name]
	if l == nil {
		return Way{}, false
	}
	w := l.way(now)
	w.Steers = name
	if l.paths.steers {
		w.Steers = m.grant.Node
	}
	return w, true
}

// Why returns all that is known of why a node is reached as of a time, or is not.
func (m *Machine) Why(name string, now time.Time) Case {
	c := Case{Now: now, Self: m.grant.Node, Name: name, Standing: m.standingOf(name), Reason: m.clashes[name], Port: GossipPort}
	c.Alone = !slices.ContainsFunc(m.names, func(n string) bool { return m.links[n].up() })
	if c.Standing == StandingUnknown {
		c.Near = NearNames(name, append([]string{m.grant.Node}, sorted(m.book.records)...))
	}
	l := m.links[name]
	if l == nil {
		return c
	}
	c.Way, _ = m.Way(name, now)
	c.Heard, c.Answered = l.lastRx, l.answer
	if l.signed.Record.Away {
		c.Away = l.signed.Record.Issued
	}
	votes := m.sightings.votes(now)
	// A port that no two peers see is not published, so the record alone does not tell.
	c.SelfNATed, c.SelfHard = len(votes) > 0 || m.self != nil && seenBehindNAT(m.self.Record), hardNAT(votes)
	c.PeerNATed = seenBehindNAT(l.signed.Record)
	return c
}

func (m *Machine) standingOf(name string) Standing {
	record := m.book.records[name]
	switch {
	case name == m.grant.Node:
		return StandingSelf
	case m.links[name] != nil:
		return StandingMember
	case m.clashes[name] != "":
		return StandingRefused
	case record != nil && record.Record.Left:
		return StandingLeft
	case errors.Is(m.gone[name], identity.ErrRevoked):
		return StandingRevoked
	case errors.Is(m.gone[name], identity.ErrExpired):
		return StandingExpired
	}
	return StandingUnknown
}

// Route is a prefix in the device, and whose it is.
type Route struct {
	Prefix netip.Prefix
	Peer   string
	State  State // of the peer
}

// Routes returns what the device is to have as of a time: this node's own
// addresses, the networks sent into the interface, and the prefixes of all
// peers, sorted.
func (m *Machine) Routes(now time.Time) (own, networks []netip.Prefix, routes []Route) {
	for _, name := range m.names {
		l := m.links[name]
		state, _ := l.state(now)
		for _, p := range hostPrefixes(l.signed.Grant) {
			routes = append(routes, Route{Prefix: p, Peer: name, State: state})
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	mesh := m.roots.Mesh()
	return hostPrefixes(m.grant), []netip.Prefix{mesh.CIDR, mesh.CIDR6}, routes
}
