package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// actual is what the machine has now.
type actual struct {
	key       Key // private
	port      int
	peers     map[Key]actualPeer
	mtu       int
	up        bool
	ipv6      bool           // the host can have IPv6 addresses on the interface
	addresses []netip.Prefix // of the interface, the kernel's own link-local ones aside
	routes    []actualRoute  // through the interface, the kernel's own ones aside
}

type actualPeer struct {
	endpoint   netip.AddrPort
	fresh      bool // a session is alive: its handshake is younger than sessionLife
	keepalive  time.Duration
	allowedIPs []netip.Prefix
}

type actualRoute struct {
	dst  netip.Prefix
	ours bool // made by this package
}

// sessionLife is how long a WireGuard session may be used (REJECT_AFTER_TIME).
const sessionLife = 180 * time.Second

// op names one kind of change.
type op string

const (
	opDevice   op = "device"    // key and port
	opPeers    op = "peers"     // peers, in order
	opMTU      op = "mtu"       // of the interface
	opAddrAdd  op = "addr add"  //
	opAddrDel  op = "addr del"  //
	opUp       op = "up"        // the interface
	opRouteAdd op = "route add" //
	opRouteDel op = "route del" //
)

// change is one call that alters the machine.
type change struct {
	op     op
	prefix netip.Prefix   // of the addr and route ops
	mtu    int            // of opMTU
	wg     wgtypes.Config // of opDevice and opPeers
}

// String prints c in the manner of `ip` and `wg`, one line for each peer entry,
// without the private key.
func (c change) String() string {
	switch c.op {
	case opMTU:
		return fmt.Sprintf("mtu %d", c.mtu)
	case opUp:
		return "up"
	case opDevice:
		var s []string
		if c.wg.PrivateKey != nil {
			s = append(s, "private-key (hidden)")
		}
		if c.wg.ListenPort != nil {
			s = append(s, fmt.Sprintf("listen-port %d", *c.wg.ListenPort))
		}
		return strings.Join(s, " ")
	case opPeers:
		var s []string
		for _, p := range c.wg.Peers {
			s = append(s, peerString(p))
		}
		return strings.Join(s, "\n")
	default:
		return fmt.Sprintf("%s %s", c.op, c.prefix)
	}
}

// diff returns the changes, in order, that lead from a to want. prev is the
// config of the previous successful Set, nil if there was none. spare is a
// public key that nobody has; see peerChanges. diff does not know of the
// host's other networks: routes are checked by collision.
//
// The order keeps packets on a right path throughout: routes go before the
// addresses they need, peers are complete before the interface comes up, and a
// route into the tunnel appears last.
func diff(want Config, prev *Config, a actual, spare Key) []change {
	var out []change
	addrs, routes := want.Addresses, want.Routes
	if !a.ipv6 {
		addrs, routes = only4(addrs), only4(routes)
	}
	for _, r := range a.routes {
		if r.ours && !slices.Contains(routes, r.dst) {
			out = append(out, change{op: opRouteDel, prefix: r.dst})
		}
	}
	out = append(out, deviceChange(want, a)...)
	if peers := peerChanges(want.Peers, prev, a.peers, spare); len(peers) > 0 {
		out = append(out, change{op: opPeers, wg: wgtypes.Config{Peers: peers}})
	}
	mtu := want.MTU
	if mtu == 0 {
		mtu = DefaultMTU
	}
	if mtu != a.mtu {
		out = append(out, change{op: opMTU, mtu: mtu})
	}
	for _, p := range addrs {
		if !slices.Contains(a.addresses, p) {
			out = append(out, change{op: opAddrAdd, prefix: p})
		}
	}
	for _, p := range a.addresses {
		if !slices.Contains(addrs, p) {
			out = append(out, change{op: opAddrDel, prefix: p})
		}
	}
	if !a.up {
		out = append(out, change{op: opUp})
	}
	for _, p := range routes {
		has := func(r actualRoute) bool { return r.dst == p }
		if !slices.ContainsFunc(a.routes, has) {
			out = append(out, change{op: opRouteAdd, prefix: p})
		}
	}
	return out
}

// deviceChange compares key and port. Port 0 leaves the port of a device that
// is up alone; one that is down forgets its port, which may be taken, and
// chooses when it comes up.
func deviceChange(want Config, a actual) []change {
	c := change{op: opDevice}
	if key := want.PrivateKey.clamp(); key != a.key {
		k := wgtypes.Key(key)
		c.wg.PrivateKey = &k
	}
	if want.Port != a.port && (want.Port != 0 || !a.up) {
		c.wg.ListenPort = &want.Port
	}
	if c.wg.PrivateKey == nil && c.wg.ListenPort == nil {
		return nil
	}
	return []change{c}
}

func only4(ps []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(ps), func(p netip.Prefix) bool { return p.Addr().Is6() })
}
