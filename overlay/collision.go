package overlay

import (
	"fmt"
	"net/netip"
)

// network is something that the host reaches without the overlay.
type network struct {
	prefix    netip.Prefix
	link      string // name of the interface
	connected bool   // directly, not through a gateway
}

// collision checks the routes that changes would add against the host's other
// networks. A route is refused if it overlaps a directly connected network, in
// whichever direction, if it is the default route, and if the very same prefix
// is routed elsewhere. A longer prefix inside a network that is reached
// through a gateway is what overlays are for, so it is allowed.
func collision(changes []change, others []network) error {
	for _, c := range changes {
		if c.op != opRouteAdd {
			continue
		}
		for _, n := range others {
			switch {
			case n.prefix.Bits() == 0 && c.prefix != n.prefix:
				continue
			case n.connected && c.prefix.Overlaps(n.prefix):
				return &RouteError{Route: c.prefix, Covers: n.prefix, What: "the network of interface " + n.link}
			case c.prefix == n.prefix:
				return &RouteError{Route: c.prefix, Covers: n.prefix,
					What: fmt.Sprintf("which the host routes through interface %s", n.link)}
			}
		}
	}
	return nil
}
