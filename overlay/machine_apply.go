package overlay

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// apply implements machine.
func (m *linux) apply(c change) error {
	switch c.op {
	case opDevice, opPeers:
		return m.configure(c)
	}
	link, err := m.link()
	if err != nil {
		return err
	}
	switch c.op {
	case opMTU:
		err = m.nl.LinkSetMTU(link, c.mtu)
	case opUp:
		err = m.bringUp(link)
	case opAddrAdd:
		err = m.nl.AddrAdd(link, m.addr(c))
	case opAddrDel:
		// ENXIO: IPv6 left the interface, with all its addresses, when the MTU
		// went below what IPv6 needs.
		err = ignore(m.nl.AddrDel(link, m.addr(c)), unix.EADDRNOTAVAIL, unix.ENXIO)
	case opRouteAdd:
		err = m.addRoute(link, c)
	case opRouteDel:
		err = ignore(m.nl.RouteDel(m.route(link, c)), unix.ESRCH)
	default:
		err = fmt.Errorf("unknown change")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// configure hands c to WireGuard. Its error does not repeat c, which may hold
// the private key.
func (m *linux) configure(c change) error {
	err := m.wg.ConfigureDevice(m.name, c.wg)
	if err == nil {
		return nil
	}
	if p := c.wg.ListenPort; p != nil && portTaken(*p) {
		return fmt.Errorf("listen on UDP port %d: %w", *p, unix.EADDRINUSE)
	}
	return fmt.Errorf("configure WireGuard %s: %w", c.op, err)
}

// portTaken reports whether a UDP port cannot be bound. Devices answer with a
// number in a text only.
func portTaken(port int) bool {
	c, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		return errors.Is(err, unix.EADDRINUSE)
	}
	c.Close()
	return false
}

// bringUp opens the UDP sockets before the link comes up. The kernel does both
// at once.
func (m *linux) bringUp(link netlink.Link) error {
	if m.user != nil {
		if err := m.user.up(); err != nil {
			return fmt.Errorf("open UDP port: %w", err)
		}
	}
	return m.nl.LinkSetUp(link)
}

func (m *linux) addr(c change) *netlink.Addr {
	n := ipNet(c.prefix)
	a := &netlink.Addr{IPNet: &n}
	if c.prefix.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // nobody else can have it: its owner is certified
	}
	return a
}

// addRoute adds, and does not replace: a route that is there belongs to
// somebody.
func (m *linux) addRoute(link netlink.Link, c change) error {
	err := m.nl.RouteAdd(m.route(link, c))
	if errors.Is(err, unix.EEXIST) {
		return &RouteError{Route: c.prefix, Covers: c.prefix, What: "which the host routes elsewhere"}
	}
	return err
}

func (m *linux) route(link netlink.Link, c change) *netlink.Route {
	n := ipNet(c.prefix)
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: &n, Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
	if c.prefix.Addr().Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

// ignore turns the errors that say "already so" into none.
func ignore(err error, already ...error) error {
	for _, a := range already {
		if errors.Is(err, a) {
			return nil
		}
	}
	return err
}
