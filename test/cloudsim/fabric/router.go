package fabric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// router is a namespace that forwards, translates, filters and answers for the
// metadata service. Its fields are guarded by network.apply.
type router struct {
	netns     string
	uplink    string // name of its end on the host
	net       *netlink.Handle
	up        netlink.Link
	metadata  *http.Server
	rules     string       // in force
	addresses []netip.Addr // on the uplink
}

// makeInternet makes the bridge that all routers and this host are on.
func makeInternet() error {
	routes, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range routes {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok && Internet().Contains(ip) {
			return fmt.Errorf("address %s on this host: the simulated internet is %s; remove it, or start in another network namespace", ip, Internet())
		}
	}
	b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName, MTU: 1500}}
	if err := netlink.LinkAdd(b); err != nil {
		return fmt.Errorf("make bridge %s: %w", bridgeName, err)
	}
	if err := silenceIPv6(bridgeName); err != nil {
		return err
	}
	l, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridgeName, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(HostIP(), Internet().Bits()))}
	if err := netlink.AddrAdd(l, addr); err != nil {
		return fmt.Errorf("address of bridge %s: %w", bridgeName, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("bridge %s up: %w", bridgeName, err)
	}
	return nil
}

// newRouter makes the namespace and the parts of a router that never change.
func newRouter(name string, c routerConfig) (*router, error) {
	r := &router{netns: name, uplink: fmt.Sprintf("%s%d", uplinkPrefix, c.Index)}
	if err := makeNetns(name); err != nil {
		return nil, err
	}
	sysctls := map[string]string{
		"net/ipv4/ip_forward":                  "1",
		"net/ipv4/conf/all/rp_filter":          "0", // the filter knows better
		"net/ipv4/conf/default/rp_filter":      "0",
		"net/ipv4/conf/all/send_redirects":     "0", // VMs of a subnet meet only here
		"net/ipv4/conf/default/send_redirects": "0",
		"net/ipv4/icmp_ratelimit":              "0", // path MTU discovery must not depend on luck
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		sysctls["net/ipv6/conf/all/disable_ipv6"] = "1"
		sysctls["net/ipv6/conf/default/disable_ipv6"] = "1"
	}
	if err := inNetns(name, func() error { return writeSysctls(sysctls) }); err != nil {
		return nil, err
	}
	if err := r.connect(c); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if err := r.serveMetadata(c.MetadataIP, c.Metadata); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// connect gives a router its uplink, its own address and its routes.
func (r *router) connect(c routerConfig) error {
	ns, err := netns.GetFromPath(netnsDir + "/" + r.netns)
	if err != nil {
		return fmt.Errorf("router namespace %s: %w", r.netns, err)
	}
	defer ns.Close()
	if r.net, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER); err != nil {
		return fmt.Errorf("router namespace %s: %w", r.netns, err)
	}
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridgeName, err)
	}
	attrs := netlink.LinkAttrs{Name: r.uplink, MTU: 1500, MasterIndex: bridge.Attrs().Index}
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "up", PeerMTU: 1500, PeerNamespace: netlink.NsFd(int(ns))}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("make uplink %s: %w", r.uplink, err)
	}
	if err := silenceIPv6(r.uplink); err != nil {
		return err
	}
	host, err := netlink.LinkByName(r.uplink)
	if err != nil {
		return fmt.Errorf("find uplink %s: %w", r.uplink, err)
	}
	if err := netlink.LinkSetUp(host); err != nil {
		return fmt.Errorf("uplink %s up: %w", r.uplink, err)
	}
	return r.configure(c)
}

func (r *router) configure(c routerConfig) error {
	lo, err := r.net.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("router's loopback: %w", err)
	}
	if r.up, err = r.net.LinkByName("up"); err != nil {
		return fmt.Errorf("router's uplink: %w", err)
	}
	for _, l := range []netlink.Link{lo, r.up} {
		if err := r.net.LinkSetUp(l); err != nil {
			return fmt.Errorf("router's link %s up: %w", l.Attrs().Name, err)
		}
	}
	meta := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(c.MetadataIP, 32))}
	if err := r.net.AddrAdd(lo, meta); err != nil {
		return fmt.Errorf("router's metadata address: %w", err)
	}
	// Addresses of the network that no VM has are unreachable at once; what is
	// neither here nor on the internet does not exist.
	routes := []*netlink.Route{
		{Dst: ipNet(c.CIDR), Type: unix.RTN_UNREACHABLE},
		{Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Type: unix.RTN_UNREACHABLE},
	}
	for _, route := range routes {
		if err := r.net.RouteReplace(route); err != nil {
			return fmt.Errorf("router's route to %s: %w", route.Dst, err)
		}
	}
	return nil
}

// setAddresses makes the uplink answer for the wanted public addresses, tells
// the neighbours about new ones, and cuts the flows of old ones.
func (r *router) setAddresses(c routerConfig) error {
	want := c.addresses()
	for _, a := range r.addresses {
		if slices.Contains(want, a) {
			continue
		}
		if err := r.net.AddrDel(r.up, publicAddr(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove public address %s: %w", a, err)
		}
		if err := r.cut(a); err != nil {
			return err
		}
	}
	for _, a := range want {
		if slices.Contains(r.addresses, a) {
			continue
		}
		if err := r.net.AddrReplace(r.up, publicAddr(a)); err != nil {
			return fmt.Errorf("add public address %s: %w", a, err)
		}
		if err := r.announce(a); err != nil {
			return err
		}
	}
	r.addresses = want
	// With the last address the kernel removes the routes of a link.
	internet := &netlink.Route{Dst: ipNet(Internet()), LinkIndex: r.up.Attrs().Index, Scope: netlink.SCOPE_LINK}
	if err := r.net.RouteReplace(internet); err != nil {
		return fmt.Errorf("router's route to the internet: %w", err)
	}
	return nil
}

// cut ends the tracked flows from and to a public address.
func (r *router) cut(a netip.Addr) error {
	for _, side := range []netlink.ConntrackFilterType{netlink.ConntrackOrigDstIP, netlink.ConntrackReplyDstIP} {
		f := &netlink.ConntrackFilter{}
		if err := f.AddIP(side, a.AsSlice()); err != nil {
			return fmt.Errorf("flows of %s: %w", a, err)
		}
		if _, err := r.net.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, f); err != nil {
			return fmt.Errorf("cut flows of %s: %w", a, err)
		}
	}
	return nil
}

// announce sends a gratuitous ARP: a neighbour may remember the address at the
// router that had it before.
func (r *router) announce(a netip.Addr) error {
	mac := r.up.Attrs().HardwareAddr
	ip := a.As4()
	frame := slices.Concat(
		[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, []byte{0x08, 0x06}, // Ethernet
		[]byte{0, 1, 8, 0, 6, 4, 0, 1}, // ARP request, IPv4 over Ethernet
		mac, ip[:], make([]byte, 6), ip[:],
	)
	err := inNetns(r.netns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: r.up.Attrs().Index, Halen: 6})
	})
	if err != nil {
		return fmt.Errorf("announce %s: %w", a, err)
	}
	return nil
}

// serveMetadata listens inside the router's namespace, at the address and port
// that VMs know.
func (r *router) serveMetadata(at netip.Addr, h http.Handler) error {
	var l net.Listener
	err := inNetns(r.netns, func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4", netip.AddrPortFrom(at, 80).String())
		return err
	})
	if err != nil {
		return fmt.Errorf("metadata service: %w", err)
	}
	r.metadata = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go func() { _ = r.metadata.Serve(l) }() // ends with Close, always with an error
	return nil
}

func (r *router) close() error {
	var errs []error
	if r.metadata != nil {
		errs = append(errs, r.metadata.Close())
	}
	if r.net != nil {
		r.net.Close()
	}
	if l, err := netlink.LinkByName(r.uplink); err == nil {
		errs = append(errs, netlink.LinkDel(l))
	}
	return errors.Join(errs...)
}

func publicAddr(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 32))}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// silenceIPv6 keeps the kernel's own IPv6 traffic off a link of the internet,
// which has IPv4 only.
func silenceIPv6(link string) error {
	path := "net/ipv6/conf/" + link + "/disable_ipv6"
	if _, err := os.Stat("/proc/sys/" + path); err != nil {
		return nil // no IPv6 on this host
	}
	return writeSysctls(map[string]string{path: "1"})
}

// writeSysctls sets sysctls of the calling thread's network namespace.
func writeSysctls(values map[string]string) error {
	for path, v := range values {
		if err := os.WriteFile("/proc/sys/"+path, []byte(v), 0); err != nil {
			return fmt.Errorf("set sysctl %s: %w", path, err)
		}
	}
	return nil
}
