package protocol

import (
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
}

// candidates returns the addresses at which the peer may be reached, best
// first: its private addresses if we share its private network, then those in
// a subnet one of our interfaces is in, then its public addresses and those
// that others see it at. None means that the peer has to come to us. A private
// address of a foreign network is no candidate: it belongs to someone else here.
func candidates(self place, peer identity.Record) []identity.Endpoint {
	var network, lan, public, observed []identity.Endpoint
	for _, e := range peer.Endpoints {
		a := e.Addr.Addr().Unmap()
		e.Addr = netip.AddrPortFrom(a, e.Addr.Port()) // as the device says it
		if !sendable(e.Addr, self.overlay) || slices.ContainsFunc(self.prefixes, func(p netip.Prefix) bool { return p.Addr() == a }) && e.Kind == identity.KindPrivate {
			continue // of no use, a loop, or an address of our own
		}
		switch {
		case e.Kind == identity.KindPrivate && self.network != "" && self.network == peer.Network:
			network = append(network, e)
		case e.Kind == identity.KindPrivate && contains(self.prefixes, a):
			lan = append(lan, e)
		case e.Kind == identity.KindPrivate && !a.IsPrivate():
			public = append(public, e) // a public address on an interface
		case e.Kind == identity.KindPublic:
			public = append(public, e)
		case e.Kind == identity.KindObserved:
			observed = append(observed, e)
		}
	}
	return unique(slices.Concat(network, lan, public, observed))
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

// unique drops later endpoints with the address of an earlier one.
func unique(es []identity.Endpoint) []identity.Endpoint {
	seen := make(map[netip.AddrPort]bool, len(es))
	return slices.DeleteFunc(es, func(e identity.Endpoint) bool {
		dup := seen[e.Addr]
		seen[e.Addr] = true
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
