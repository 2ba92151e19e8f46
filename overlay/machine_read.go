package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpTries bounds the repeats of a netlink dump that a change interrupted.
const dumpTries = 10

// read implements machine.
func (m *linux) read() (actual, error) {
	link, err := m.link()
	if err != nil {
		return actual{}, err
	}
	dev, err := m.device()
	if err != nil {
		return actual{}, err
	}
	attrs := link.Attrs()
	a := actual{
		key: Key(dev.PrivateKey), port: dev.ListenPort, peers: make(map[Key]actualPeer, len(dev.Peers)),
		mtu: attrs.MTU, up: attrs.Flags&net.FlagUp != 0, ipv6: hasIPv6(m.name),
	}
	now := time.Now()
	for _, p := range dev.Peers {
		a.peers[Key(p.PublicKey)] = actualPeer{
			endpoint:   endpointOf(p),
			fresh:      now.Sub(p.LastHandshakeTime) < sessionLife,
			keepalive:  p.PersistentKeepaliveInterval,
			allowedIPs: prefixesOf(p.AllowedIPs),
		}
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return m.nl.AddrList(link, netlink.FAMILY_ALL) })
	if err != nil {
		return actual{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, addr := range addrs {
		if p, ok := prefixOf(addr.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			a.addresses = append(a.addresses, p)
		}
	}
	a.routes, err = m.routes(attrs.Index)
	return a, err
}

// routes returns the main table's routes through our interface. Those that the
// kernel makes for addresses are its own business.
func (m *linux) routes(index int) ([]actualRoute, error) {
	all, err := m.allRoutes()
	if err != nil {
		return nil, err
	}
	var out []actualRoute
	for _, r := range all {
		if p, ok := prefixOf(r.Dst); ok && r.LinkIndex == index && r.Protocol != unix.RTPROT_KERNEL {
			out = append(out, actualRoute{dst: p, ours: r.Protocol == routeProtocol})
		}
	}
	return out, nil
}

// networks implements machine.
func (m *linux) networks() ([]network, error) {
	links, err := dump(m.nl.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	names := make(map[int]string)
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	routes, err := m.allRoutes()
	if err != nil {
		return nil, err
	}
	var out []network
	for _, r := range routes {
		p, ok := prefixOf(r.Dst)
		name := names[r.LinkIndex]
		if !ok || name == m.name || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
			continue
		}
		direct := r.Gw == nil && r.Via == nil && len(r.MultiPath) == 0 && r.Type == unix.RTN_UNICAST
		out = append(out, network{prefix: p, link: name, connected: direct && p.Bits() > 0})
	}
	addrs, err := dump(func() ([]netlink.Addr, error) { return m.nl.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		p, ok := prefixOf(a.IPNet)
		name := names[a.LinkIndex]
		if ok && name != m.name && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			out = append(out, network{prefix: p.Masked(), link: name, connected: true})
		}
	}
	return out, nil
}

func (m *linux) allRoutes() ([]netlink.Route, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	routes, err := dump(func() ([]netlink.Route, error) {
		return m.nl.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for i, r := range routes {
		if r.Dst == nil { // the default route, in the library's older form
			routes[i].Dst = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
			if r.Family == netlink.FAMILY_V6 {
				routes[i].Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
			}
		}
	}
	return routes, nil
}

// dump repeats a listing that changes to the list interrupted.
func dump[T any](list func() ([]T, error)) (out []T, err error) {
	for range dumpTries {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return out, err
}

// hasIPv6 reports whether the interface can have IPv6 addresses. It cannot
// where the kernel has no IPv6, or an administrator switched it off. An
// interface whose MTU is too small for IPv6 has no settings of its own, and
// gets the default ones with a larger MTU.
func hasIPv6(name string) bool {
	const conf = "/proc/sys/net/ipv6/conf"
	b, err := os.ReadFile(filepath.Join(conf, name, "disable_ipv6"))
	if errors.Is(err, os.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(conf, "default", "disable_ipv6"))
	}
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// prefixOf converts, without masking.
func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	if bits == 32 {
		a = a.Unmap()
	}
	return netip.PrefixFrom(a, ones), true
}

func prefixesOf(ns []net.IPNet) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(ns))
	for i := range ns {
		if p, ok := prefixOf(&ns[i]); ok {
			out = append(out, p)
		}
	}
	return out
}
