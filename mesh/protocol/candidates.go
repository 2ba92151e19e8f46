package protocol

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/identity"
)

// place is where a node is in the underlay, as far as choosing a path to
// others needs it.
type place struct {
	network  string         // id of its private network, empty if unknown
	prefixes []netip.Prefix // of its interfaces, with the host's own address
	overlay  []netip.Prefix // the mesh's: never an underlay address
	outside  []netip.Addr   // where its NAT shows this node
}

// candidates returns the addresses at which the peer may be reached, best
// first: its private addresses if we share its private network, then those in
// a subnet one of our interfaces is in, then its public addresses and those
// that others see it at. None means that the peer has to come to us. A private
// address of a foreign network is no candidate: it belongs to someone else here.
func candidates(here place, peer identity.Record) []candidate {
	var cs []candidate
	for _, e := range peer.Endpoints {
		a := e.Addr.Addr().Unmap()
		addr := netip.AddrPortFrom(a, e.Addr.Port()) // as the device says it
		own := slices.ContainsFunc(here.prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
		if !sendable(addr, here.overlay) || own && e.Kind == identity.KindPrivate {
			continue // of no use, a loop, or an address of our own
		}
		if c, ok := classOfNamed(here, a, e.Kind, peer.Network); ok {
			cs = append(cs, candidate{addr: addr, kind: e.Kind, class: c})
		}
	}
	slices.SortStableFunc(cs, func(a, b candidate) int { return cmp.Compare(a.class, b.class) })
	if len(cs) > 0 && cs[0].class <= classLAN {
		for i := range cs { // side by side behind one NAT, it seems: few lead a packet back in
			cs[i].last = cs[i].class == classObserved && slices.Contains(here.outside, cs[i].addr.Addr())
		}
	}
	return unique(cs)
}

// classOfNamed returns what a byte costs to an address that the peer names, and
// false if the address is of no use here.
func classOfNamed(here place, a netip.Addr, kind identity.EndpointKind, network string) (class, bool) {
	switch {
	case kind == identity.KindPublic:
		return classPublic, true
	case kind == identity.KindObserved:
		return classObserved, true
	case here.network != "" && here.network == network:
		return classNetwork, true
	case contains(here.prefixes, a):
		return classLAN, true
	}
	return classPublic, !a.IsPrivate() // a public address on an interface
}

// classOf returns what a byte costs to an address from which the peer is heard.
// One that it does not name was seen when it came to us: on a private network
// directly, else through a NAT.
func classOf(here place, addr netip.AddrPort, peer identity.Record) class {
	a := addr.Addr().Unmap()
	best, named := classRelay, false
	for _, e := range peer.Endpoints {
		if c, ok := classOfNamed(here, a, e.Kind, peer.Network); ok && e.Addr.Addr().Unmap() == a {
			best, named = min(best, c), true
		}
	}
	switch {
	case named:
		return best
	case a.IsPrivate() && here.network != "" && here.network == peer.Network:
		return classNetwork
	case a.IsPrivate(), contains(here.prefixes, a):
		return classLAN
	}
	return classObserved
}

// sendable reports whether packets to the endpoint can leave the host outside
// the tunnel. The device refuses its whole configuration if one endpoint lies
// inside the overlay, and a member can make itself look as if it were there, by
// its record or by calling through the tunnel.
func sendable(e netip.AddrPort, overlay []netip.Prefix) bool {
	a := e.Addr().Unmap()
	return UsableAddr(a) && e.Port() != 0 && !contains(overlay, a)
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}

// unique drops later candidates with the address of an earlier one.
func unique(cs []candidate) []candidate {
	seen := make(map[netip.AddrPort]bool, len(cs))
	return slices.DeleteFunc(cs, func(c candidate) bool {
		dup := seen[c.addr]
		seen[c.addr] = true
		return dup
	})
}

// pathOf names the kind of path that an endpoint in use is, from what the peer
// says of its addresses. An address it does not name was learned when the peer
// came to us: on a private network directly, else through a NAT.
func pathOf(endpoint netip.AddrPort, peer identity.Record) Path {
	if !endpoint.IsValid() {
		return PathNone
	}
	addr := endpoint.Addr().Unmap()
	for _, e := range peer.Endpoints {
		if e.Addr.Addr().Unmap() != addr {
			continue
		}
		switch {
		case e.Kind == identity.KindObserved:
			return PathPunched
		case e.Kind == identity.KindPrivate && addr.IsPrivate():
			return PathPrivate
		}
		return PathPublic
	}
	if addr.IsPrivate() {
		return PathPrivate
	}
	return PathPunched
}
