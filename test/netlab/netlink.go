package netlab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netConfig is the wanted state of an interface.
type netConfig struct {
	addresses []netip.Prefix
	gateways  []netip.Addr // of default routes; an unspecified one = straight out
}

// configure brings an interface up with exactly these global addresses.
func (n *namespaces) configure(name string, c netConfig) error {
	l, err := n.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := n.dropAddresses(l, c.addresses); err != nil {
		return err
	}
	for _, p := range c.addresses {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := n.link.AddrReplace(l, a); err != nil {
			return fmt.Errorf("address %s of %s: %w", p, name, err)
		}
	}
	if err := n.link.LinkSetUp(l); err != nil {
		return fmt.Errorf("interface %s up: %w", name, err)
	}
	for _, g := range c.gateways {
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if g.Is6() {
			all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(all)}
		if !g.IsUnspecified() {
			r.Gw = g.AsSlice()
		}
		if err := n.link.RouteReplace(r); err != nil {
			return fmt.Errorf("route to gateway %s: %w", g, err)
		}
	}
	return nil
}

// dropAddresses removes all global addresses but those to keep.
func (n *namespaces) dropAddresses(l netlink.Link, keep []netip.Prefix) error {
	list, err := n.link.AddrList(l, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", l.Attrs().Name, err)
	}
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		p := netip.PrefixFrom(ip.Unmap(), bits)
		kept := ip.IsLinkLocalUnicast()
		for _, k := range keep {
			kept = kept || k == p
		}
		if kept {
			continue
		}
		if err := n.link.AddrDel(l, &a); err != nil {
			return fmt.Errorf("address %s of %s: %w", p, l.Attrs().Name, err)
		}
	}
	return nil
}

func (n *namespaces) setUp(name string) error {
	l, err := n.link.LinkByName(name)
	if err == nil {
		err = n.link.LinkSetUp(l)
	}
	if err != nil {
		return fmt.Errorf("interface %s up: %w", name, err)
	}
	return nil
}

// upTimeout bounds how long the kernel may take to make a link carry packets.
const upTimeout = 10 * time.Second

// waitUp waits until interfaces carry packets: after a link has got its carrier
// the kernel still drops what goes there, until a work queue has run.
func (n *namespaces) waitUp(names ...string) error {
	for _, name := range names {
		err := wait(func() error {
			l, err := n.link.LinkByName(name)
			if err == nil && l.Attrs().OperState != netlink.OperUp {
				err = fmt.Errorf("is %s", l.Attrs().OperState)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
	}
	return nil
}

// waitLocal waits until addresses of the namespace take packets; with IPv6 that
// is the work of a queue as well.
func (n *namespaces) waitLocal(addrs []netip.Prefix) error {
	for _, p := range addrs {
		err := wait(func() error {
			r, err := n.link.RouteGet(p.Addr().AsSlice())
			if err == nil && (len(r) == 0 || r[0].Type != unix.RTN_LOCAL) {
				err = errors.New("is not local")
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("address %s: %w", p.Addr(), err)
		}
	}
	return nil
}

// wait returns when f says nil, or what f last said.
func wait(f func() error) error {
	deadline := time.Now().Add(upTimeout)
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-t.C
	}
}

// neighbour is a station on a LAN.
type neighbour struct {
	addr netip.Addr
	mac  net.HardwareAddr
}

// neighbours makes stations known for good: no ARP, which would take time, and
// no entries that count against the one limit of all namespaces.
func (n *namespaces) neighbours(dev string, list []neighbour) error {
	l, err := n.link.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("interface %s: %w", dev, err)
	}
	for _, s := range list {
		e := &netlink.Neigh{LinkIndex: l.Attrs().Index, IP: s.addr.AsSlice(), HardwareAddr: s.mac, State: unix.NUD_PERMANENT}
		if err := n.link.NeighSet(e); err != nil {
			return fmt.Errorf("neighbour %s: %w", s.addr, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
