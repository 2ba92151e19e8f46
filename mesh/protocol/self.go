package protocol

import (
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/identity"
)

// standing is how far a node takes part.
type standing int

const (
	standingHere standing = iota
	standingAway
	standingLeft
)

// whereabouts is what a node knows of its own place.
type whereabouts struct {
	port      int
	prefixes  []netip.Prefix // of its interfaces
	overlay   []netip.Prefix // the mesh's
	advertise []netip.Addr
	observed  netip.Addr       // as an introducer saw it, invalid if never; peers have to tell the port
	seen      []netip.AddrPort // as peers see it, with the port of its NAT
	mapped    bool             // the observed address leads back here
	network   string
	introduce string // listen address, empty if it introduces nobody
}

// endpoints returns where this node's WireGuard may answer, best known first,
// at most identity.MaxEndpoints.
func (w whereabouts) endpoints() []identity.Endpoint {
	var es []identity.Endpoint
	add := func(a netip.Addr, k identity.EndpointKind) {
		a = a.Unmap()
		known := slices.ContainsFunc(es, func(e identity.Endpoint) bool { return e.Addr.Addr() == a })
		if UsableAddr(a) && !known && !contains(w.overlay, a) && len(es) < identity.MaxEndpoints {
			es = append(es, identity.Endpoint{Addr: netip.AddrPortFrom(a, uint16(w.port)), Kind: k})
		}
	}
	for _, a := range w.advertise {
		add(a, identity.KindPublic)
	}
	for _, p := range w.prefixes {
		add(p.Addr(), identity.KindPrivate)
	}
	kind := identity.KindObserved
	if w.mapped {
		kind = identity.KindPublic
	}
	for _, s := range w.seen {
		known := slices.ContainsFunc(es, func(e identity.Endpoint) bool { return e.Addr == s })
		if !known && !contains(w.overlay, s.Addr()) && len(es) < identity.MaxEndpoints {
			es = append(es, identity.Endpoint{Addr: s, Kind: kind})
		}
	}
	if w.mapped || w.introduce != "" { // else peers have to say at which port
		add(w.observed, kind)
	}
	return es
}

// introduceAddr returns HOST:PORT where others reach this node's introducer,
// empty if nowhere.
func (w whereabouts) introduceAddr() string {
	if w.introduce == "" {
		return ""
	}
	listen, err := netip.ParseAddrPort(ExpandListen(w.introduce))
	if err != nil {
		return ""
	}
	host := listen.Addr().Unmap()
	if !UsableAddr(host) {
		if host = mostPublic(w.endpoints()); !host.IsValid() {
			return ""
		}
	}
	return netip.AddrPortFrom(host, listen.Port()).String()
}

// mostPublic returns the address that most others reach, invalid if there is none.
func mostPublic(es []identity.Endpoint) netip.Addr {
	for _, k := range []identity.EndpointKind{identity.KindPublic, identity.KindObserved} {
		if i := slices.IndexFunc(es, func(e identity.Endpoint) bool { return e.Kind == k }); i >= 0 {
			return es[i].Addr.Addr()
		}
	}
	if len(es) == 0 {
		return netip.Addr{}
	}
	return es[0].Addr.Addr()
}

// ExpandListen turns ":PORT" into an address that stands for all of the host's.
func ExpandListen(s string) string {
	if s != "" && s[0] == ':' {
		return "[::]" + s
	}
	return s
}

// UsableAddr reports whether others may reach a host by the address.
func UsableAddr(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() &&
		!a.IsLinkLocalUnicast() && a.Zone() == ""
}
