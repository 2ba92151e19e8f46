package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NAT is how a site's IPv4 meets the internet.
type NAT int

// The kinds of NAT.
const (
	// NATNone: hosts have public addresses.
	NATNone NAT = iota

	// NATOneToOne: each host has a private address and a public one that the
	// router maps to it, as in most clouds. Everything is let in.
	NATOneToOne

	// NATEasy: all hosts leave with one public address, with the port they had
	// if that is free; the same for every destination. Only answers are let in.
	// The public address is of no use inside (no hairpin).
	NATEasy

	// NATHard is NATEasy with a random port for each destination.
	NATHard
)

// String implements fmt.Stringer.
func (n NAT) String() string {
	names := []string{"none", "one-to-one", "easy", "hard"}
	if n < 0 || int(n) >= len(names) {
		return fmt.Sprintf("NAT(%d)", int(n))
	}
	return names[n]
}

// SiteOptions are the settings of a [Site].
type SiteOptions struct {
	NAT NAT

	// Private is the IPv4 prefix of the hosts, /16 to /29; several sites may have
	// the same. The zero Prefix = 192.168.N.0/24. Ignored with NATNone, where it
	// is 198.18.N.0/24.
	Private netip.Prefix

	// IPv6 gives each host a global address beside, without NAT.
	IPv6 bool

	// Firewall lets only answers in, IPv4 and IPv6. With NATEasy and NATHard that
	// is so for IPv4 anyway.
	Firewall bool

	// BlockUDP lets no UDP through to or from the internet.
	BlockUDP bool

	// UDPTimeout is after which silence the router forgets a UDP flow, rounded
	// to seconds. 0 = the kernel's 30 s, and 120 s once both sides have spoken.
	UDPTimeout time.Duration

	// MTU of the router's link to the internet, in bytes; 0 = that of the lab.
	// Unlike with Link.MTU, it is the router that says "too big".
	MTU int
}

// Site is a private network: hosts on one LAN behind a router.
type Site struct {
	Name string

	lab   *Lab
	opts  SiteOptions
	index int          // from 1
	lan   netip.Prefix // of the hosts
	pool  netip.Prefix // public, /24
	lan6  netip.Prefix // /64
	ns    *namespaces  // of the router
	up    *uplink

	mu      sync.Mutex // guards the fields below
	nat     netip.Addr // public address that hosts share; zero without such NAT
	nextNAT int        // counts down in pool
	next    int        // number of the next host, in lan and pool
	hosts   []*Host
	ports   []portForward
}

// maxSites is what 198.18.0.0/15 has of /24 prefixes, without the first.
const maxSites = 511

// Site makes a site and connects it to the internet.
func (l *Lab) Site(name string, o SiteOptions) *Site {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.newSite(name, o)
	if err != nil {
		l.t.Fatalf("netlab: site %s: %v", name, err)
	}
	l.sites = append(l.sites, s)
	return s
}

func (l *Lab) newSite(name string, o SiteOptions) (*Site, error) {
	index := len(l.sites) + 1
	if index > maxSites {
		return nil, fmt.Errorf("more than %d sites", maxSites)
	}
	s := &Site{Name: name, lab: l, opts: o, index: index, next: 2, nextNAT: 254}
	s.pool = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + index>>8), byte(index), 0}), 24)
	if o.IPv6 {
		s.lan6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(index >> 8), byte(index)}), 64)
	}
	switch {
	case o.NAT < NATNone || o.NAT > NATHard:
		return nil, fmt.Errorf("unknown NAT %d", o.NAT)
	case o.NAT == NATNone:
		s.lan = s.pool
	case o.Private.IsValid():
		s.lan = o.Private.Masked()
		if !s.lan.Addr().Is4() || s.lan.Bits() < 16 || s.lan.Bits() > 29 {
			return nil, fmt.Errorf("private prefix %s: want an IPv4 one of /16 to /29", o.Private)
		}
	default:
		s.lan = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168 + byte(index>>8), byte(index), 0}), 24)
	}
	if o.MTU != 0 && (o.MTU < 576 || o.MTU > l.opts.MTU) {
		return nil, fmt.Errorf("MTU %d: want 576 to that of the lab, %d", o.MTU, l.opts.MTU)
	}
	ns, err := newNamespaces(-1)
	if err != nil {
		return nil, err
	}
	s.ns = ns
	if err := s.build(); err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return s, nil
}

// build makes the router.
func (s *Site) build() error {
	if err := s.ns.do(s.routerSysctls); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = "lan", s.lab.opts.MTU, s.routerMAC()
	if err := s.ns.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if err := s.ns.setUp("lo"); err != nil {
		return err
	}
	if err := s.ns.configure("lan", netConfig{addresses: s.gateways()}); err != nil {
		return err
	}
	if err := s.lab.Internet.attach(s); err != nil {
		return err
	}
	up, err := s.ns.link.LinkByName(upName)
	if err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	mtu := s.opts.MTU
	if mtu == 0 {
		mtu = s.lab.opts.MTU
	}
	err = errors.Join(s.ns.link.LinkSetMTU(up, mtu), s.ns.link.LinkSetTxQLen(up, upQueue))
	if err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	if err := s.ns.configure(upName, netConfig{gateways: straight()}); err != nil {
		return err
	}
	if s.opts.IPv6 {
		s.lab.Internet.route(s.lan6, s)
	}
	return s.Renumber()
}

// upQueue is the length of an uplink's transmit queue in packets; the kernel's
// 500 overflow in bursts.
const upQueue = 4096

func (s *Site) routerSysctls() error {
	list := [][2]string{{"ipv4/ip_forward", "1"}, {"ipv6/conf/all/forwarding", "1"}, {"ipv4/conf/all/send_redirects", "0"}, {"ipv4/conf/default/send_redirects", "0"}}
	if s.opts.UDPTimeout > 0 {
		sec := fmt.Sprint(max(1, int(s.opts.UDPTimeout.Round(time.Second)/time.Second)))
		list = append(list, [2]string{"netfilter/nf_conntrack_udp_timeout", sec}, [2]string{"netfilter/nf_conntrack_udp_timeout_stream", sec})
	}
	for _, l := range list {
		if err := sysctl(l[0], l[1]); err != nil {
			return err
		}
	}
	return nil
}

// straight are the gateways of a device with nobody but the internet behind it.
func straight() []netip.Addr { return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} }

// gateways are the router's addresses on the LAN.
func (s *Site) gateways() []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(nth(s.lan, 1), s.lan.Bits())}
	if s.opts.IPv6 {
		list = append(list, netip.PrefixFrom(nth(s.lan6, 1), 64))
	}
	return list
}

// Prefix is the IPv4 prefix of the hosts.
func (s *Site) Prefix() netip.Prefix { return s.lan }

// Prefix6 is the IPv6 prefix of the hosts; zero without IPv6.
func (s *Site) Prefix6() netip.Prefix { return s.lan6 }

// Hosts are those at the site now.
func (s *Site) Hosts() []*Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hosts)
}

// Public is the IPv4 address that hosts share; zero but with NATEasy and NATHard.
func (s *Site) Public() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nat
}

// Renumber gives a site with NATEasy or NATHard another public address, as after
// a reconnect; the router forgets all flows. Other sites do not change.
func (s *Site) Renumber() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.NAT == NATEasy || s.opts.NAT == NATHard {
		if s.nextNAT < 2 {
			return fmt.Errorf("site %s: no public address left", s.Name)
		}
		old := s.nat
		s.nat = nth(s.pool, s.nextNAT)
		s.nextNAT--
		if err := s.ns.configure(upName, netConfig{addresses: []netip.Prefix{netip.PrefixFrom(s.nat, 32)}, gateways: straight()}); err != nil {
			return err
		}
		if old.IsValid() {
			s.lab.Internet.route(netip.PrefixFrom(old, 32), nil)
		}
		s.lab.Internet.route(netip.PrefixFrom(s.nat, 32), s)
	}
	return errors.Join(s.filterLocked(), s.forgetFlows())
}

// forgetFlows empties the router's conntrack table.
func (s *Site) forgetFlows() error {
	h, err := netlink.NewHandleAt(netns.NsHandle(s.ns.net), unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	defer h.Close()
	if err := h.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return fmt.Errorf("empty conntrack: %w", err)
	}
	return nil
}

// Forward maps a port of the site's public address to a host, for "tcp" or "udp".
// The site must have NATEasy or NATHard.
func (s *Site) Forward(protocol string, port uint16, h *Host, to uint16) error {
	if protocol != "tcp" && protocol != "udp" {
		return fmt.Errorf("forward protocol %q: want tcp or udp", protocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.nat.IsValid() {
		return fmt.Errorf("site %s: forwards no ports with NAT %s", s.Name, s.opts.NAT)
	}
	if !slices.Contains(s.hosts, h) {
		return fmt.Errorf("host %s: is not at site %s", h.Name, s.Name)
	}
	s.ports = append(s.ports, portForward{protocol: protocol, port: port, to: netip.AddrPortFrom(h.Addr(), to)})
	return s.filterLocked()
}

// nth is the n-th address of a prefix.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// routerMAC is that of the router on its LAN.
func (s *Site) routerMAC() net.HardwareAddr {
	return net.HardwareAddr{2, 0x16, 0xff, 0, byte(s.index >> 8), byte(s.index)}
}
