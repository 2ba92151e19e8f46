package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
)

// hostLink is the name of a host's interface.
const hostLink = "eth0"

// Host is a machine at a site, with one interface, eth0.
type Host struct {
	Name string

	lab   *Lab
	index int // from 1
	ns    *namespaces

	move sync.Mutex // held while the host changes its place

	mu     sync.Mutex // guards the fields below; Site.mu comes before it
	site   *Site
	addr   netip.Addr
	addr6  netip.Addr
	public netip.Addr // zero where the site's is shared
	down   bool
}

// Host makes a host at the site.
func (s *Site) Host(name string) *Host {
	s.lab.t.Helper()
	l := s.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &Host{Name: name, lab: l, index: len(l.hosts) + 1}
	err := h.build(s)
	if h.ns != nil {
		l.hosts = append(l.hosts, h) // closes the namespaces, whatever happened
	}
	if err != nil {
		l.t.Fatalf("netlab: host %s: %v", name, err)
	}
	return h
}

func (h *Host) build(s *Site) (err error) {
	if h.ns, err = newNamespaces(h.lab.spawner.mnt); err != nil {
		return err
	}
	if err := h.ns.setUp("lo"); err != nil {
		return err
	}
	return h.join(s)
}

// join plugs the host into a site.
func (h *Host) join(s *Site) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lan, err := s.ns.link.LinkByName("lan")
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.MasterIndex = h.port(), h.lab.opts.MTU, lan.Attrs().Index
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace, veth.PeerHardwareAddr = hostLink, netlink.NsFd(h.ns.net), h.mac()
	veth.PeerMTU = uint32(h.lab.opts.MTU)
	if err := s.ns.link.LinkAdd(veth); err != nil {
		return fmt.Errorf("link to router: %w", err)
	}
	if err := s.ns.setUp(h.port()); err != nil {
		return err
	}
	h.mu.Lock()
	h.site = s
	h.mu.Unlock()
	s.hosts = append(s.hosts, h)
	return s.numberLocked(h)
}

// numberLocked gives a host the next addresses of the site.
func (s *Site) numberLocked(h *Host) error {
	n := s.next
	if n > 1<<(32-s.lan.Bits())-2 || n > 250 && s.opts.NAT == NATOneToOne {
		return fmt.Errorf("site %s: no address left", s.Name)
	}
	s.next++
	h.mu.Lock()
	s.lab.Internet.forget(h.public)
	h.addr, h.addr6, h.public = nth(s.lan, n), netip.Addr{}, netip.Addr{}
	switch s.opts.NAT {
	case NATNone:
		h.public = h.addr
	case NATOneToOne:
		h.public = nth(s.pool, n)
	}
	if s.opts.IPv6 {
		h.addr6 = nth(s.lan6, n)
	}
	public := h.public
	h.mu.Unlock()
	if public.IsValid() {
		s.lab.Internet.route(netip.PrefixFrom(public, 32), s)
	}
	if s.opts.NAT == NATOneToOne {
		if err := s.filterLocked(); err != nil {
			return err
		}
	}
	return s.introduceLocked(h)
}

// introduceLocked configures a host and makes the LAN know it.
func (s *Site) introduceLocked(h *Host) error {
	want := h.wanted(s)
	if err := h.ns.configure(hostLink, want); err != nil {
		return err
	}
	known := h.stations()
	var others []neighbour
	for _, g := range s.gateways() {
		others = append(others, neighbour{g.Addr(), s.routerMAC()})
	}
	errs := []error{s.ns.neighbours("lan", known)}
	for _, o := range s.hosts {
		if o != h {
			others = append(others, o.stations()...)
			if !o.isDown() {
				errs = append(errs, o.ns.neighbours(hostLink, known))
			}
		}
	}
	errs = append(errs, h.ns.neighbours(hostLink, others), h.ns.waitUp(hostLink), s.ns.waitUp(h.port(), "lan"), h.ns.waitLocal(want.addresses))
	return errors.Join(errs...)
}

// wanted is the configuration of the host's interface.
func (h *Host) wanted(s *Site) netConfig {
	c := netConfig{addresses: []netip.Prefix{netip.PrefixFrom(h.Addr(), s.lan.Bits())}}
	for _, g := range s.gateways() {
		c.gateways = append(c.gateways, g.Addr())
	}
	if a := h.Addr6(); a.IsValid() {
		c.addresses = append(c.addresses, netip.PrefixFrom(a, 64))
	}
	return c
}

// stations are the host's addresses on the LAN.
func (h *Host) stations() []neighbour {
	list := []neighbour{{h.Addr(), h.mac()}}
	if a := h.Addr6(); a.IsValid() {
		list = append(list, neighbour{a, h.mac()})
	}
	return list
}

// port is the name of the router's end of the host's link.
func (h *Host) port() string { return fmt.Sprintf("h%d", h.index) }

func (h *Host) mac() net.HardwareAddr {
	return net.HardwareAddr{2, 0x16, 0, 0, byte(h.index >> 8), byte(h.index)}
}

// Site is where the host is.
func (h *Host) Site() *Site {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.site
}

// Addr is the host's IPv4 address on its LAN: private unless the site has NATNone.
func (h *Host) Addr() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addr
}

// Addr6 is the host's global IPv6 address; zero where the site has none.
func (h *Host) Addr6() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.addr6
}

// Public is the IPv4 address that the internet sees: the host's own, that of its
// 1:1 NAT, or the one that it shares with its site.
func (h *Host) Public() netip.Addr {
	h.mu.Lock()
	site, public := h.site, h.public
	h.mu.Unlock()
	if public.IsValid() {
		return public
	}
	return site.Public()
}

// NetNS is a path of the host's network namespace, while this process lives.
func (h *Host) NetNS() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.ns.net) }

// Do runs f in the host's network and mount namespaces, on a system thread of its
// own. Sockets that f opens stay the host's, for use anywhere. What f starts as
// goroutines runs outside of the host (net.Dial with a literal address starts
// none); a program is started by [Host.Command]. Of /proc, f sees that of the
// host, where this process is not.
func (h *Host) Do(f func() error) error { return h.ns.do(f) }

// DialContext is that of net.Dialer, from the host. The address must be literal.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// ListenPacket is that of net.ListenConfig, at the host.
func (h *Host) ListenPacket(ctx context.Context, network, address string) (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = (&net.ListenConfig{}).ListenPacket(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen is that of net.ListenConfig, at the host.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.Do(func() error {
		l, err = (&net.ListenConfig{}).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// Readdress gives the host other addresses at its site, as DHCP might.
func (h *Host) Readdress() error {
	h.move.Lock()
	defer h.move.Unlock()
	s := h.Site()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.numberLocked(h); err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	return nil
}

// Move unplugs the host and plugs it in at another site, or again at the same,
// with new addresses. Its processes go on.
func (h *Host) Move(to *Site) error {
	h.move.Lock()
	defer h.move.Unlock()
	err := h.leave()
	if err == nil {
		err = h.join(to)
	}
	if err != nil {
		return fmt.Errorf("host %s: move to site %s: %w", h.Name, to.Name, err)
	}
	h.mu.Lock()
	h.down = false
	h.mu.Unlock()
	return nil
}

// leave unplugs the host from its site.
func (h *Host) leave() error {
	s := h.Site()
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.ns.link.LinkByName(h.port())
	if err == nil {
		err = s.ns.link.LinkDel(l)
	}
	if err != nil {
		return fmt.Errorf("unplug: %w", err)
	}
	s.hosts = slices.DeleteFunc(s.hosts, func(o *Host) bool { return o == h })
	s.ports = slices.DeleteFunc(s.ports, func(p portForward) bool { return p.to.Addr() == h.Addr() })
	return s.filterLocked()
}

// Down takes the host's link down.
func (h *Host) Down() error {
	h.move.Lock()
	defer h.move.Unlock()
	l, err := h.ns.link.LinkByName(hostLink)
	if err == nil {
		err = h.ns.link.LinkSetDown(l)
	}
	if err != nil {
		return fmt.Errorf("host %s: link down: %w", h.Name, err)
	}
	h.mu.Lock()
	h.down = true
	h.mu.Unlock()
	return nil
}

// Up takes the host's link up again, with addresses and routes as before.
func (h *Host) Up() error {
	h.move.Lock()
	defer h.move.Unlock()
	s := h.Site()
	s.mu.Lock()
	defer s.mu.Unlock()
	h.mu.Lock()
	h.down = false
	h.mu.Unlock()
	if err := s.introduceLocked(h); err != nil {
		return fmt.Errorf("host %s: link up: %w", h.Name, err)
	}
	return nil
}

func (h *Host) isDown() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}
