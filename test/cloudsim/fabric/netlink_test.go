package fabric

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// addressLoopback gives the loopback device of the calling thread's network
// namespace another address.
func addressLoopback(a string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.AddrReplace(lo, publicAddr(netip.MustParseAddr(a)))
}

// routeVia makes a neighbour of the internet the way to an address.
func routeVia(to, via string) error {
	b, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: b.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(to + "/32")), Gw: net.ParseIP(via),
	})
}
