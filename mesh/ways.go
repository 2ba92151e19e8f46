package mesh

import (
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"net/netip"
	"slices"
	"time"
)

// Way returns how a peer is reached, and false if there is no such peer.
func (m *Mesh) Way(name string) (protocol.Way, bool) {
	for _, p := range m.Peers() {
		if p.Name == name {
			return protocol.Way{Name: name, State: string(p.State), Path: string(p.Path), Endpoint: p.Endpoint, RTT: p.RTT}, true
		}
	}
	return protocol.Way{}, false
}

// Why returns all that is known of why a node is reached, or is not.
func (m *Mesh) Why(name string) protocol.Case {
	c := protocol.Case{Now: time.Now(), Self: m.grant.Node, Name: name, Standing: protocol.StandingUnknown, Port: GossipPort, Alone: true}
	names := []string{m.grant.Node}
	for _, p := range m.Peers() {
		names = append(names, p.Name)
		c.Alone = c.Alone && p.State != StateUp
	}
	way, ok := m.Way(name)
	switch {
	case name == m.grant.Node:
		c.Standing = protocol.StandingSelf
	case ok:
		c.Standing, c.Way = protocol.StandingMember, way
	default:
		c.Near = protocol.NearNames(name, names)
	}
	return c
}

// Route is a prefix in the device, and whose it is.
type Route struct {
	Prefix netip.Prefix
	Peer   string
	State  State // of the peer
}

// Routes returns what the device has: this node's own addresses, the networks
// sent into the interface, and the prefixes of all peers, sorted.
func (m *Mesh) Routes() (own, networks []netip.Prefix, routes []Route) {
	for _, p := range m.Peers() {
		for _, a := range []netip.Addr{p.IP, p.IP6} {
			if a.IsValid() {
				routes = append(routes, Route{Prefix: netip.PrefixFrom(a, a.BitLen()), Peer: p.Name, State: p.State})
			}
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	for _, a := range []netip.Addr{m.grant.IP, m.grant.IP6} {
		if a.IsValid() {
			own = append(own, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	mesh := m.roots.Mesh()
	return own, []netip.Prefix{mesh.CIDR, mesh.CIDR6}, routes
}
