package overlay

import (
	"errors"
	"fmt"
	"net/netip"
)

var (
	// ErrInUse says that the interface name is taken: by another running
	// daemon, or by an interface that this package did not make.
	ErrInUse = errors.New("interface is in use")

	// ErrNoKernel says that the kernel's WireGuard was asked for explicitly and
	// the kernel has none.
	ErrNoKernel = errors.New("this kernel has no WireGuard")

	// ErrRoute is what every [RouteError] wraps.
	ErrRoute = errors.New("route refused")
)

// RouteError reports a route that would take away traffic the host needs
// outside the overlay. Nothing was changed.
type RouteError struct {
	Route  netip.Prefix   // the wanted route
	Covers netip.Prefix   // what it collides with: a network of the host, or an endpoint as a /32 or /128
	What   string         // what Covers is, for a person: "the network of eth0"
	Peer   Key            // the peer whose endpoint lies inside Route; zero otherwise
	Of     netip.AddrPort // that endpoint
}

// Error implements error. It names the route and what it collides with.
func (e *RouteError) Error() string {
	return fmt.Sprintf("route %s overlaps %s, %s", e.Route, e.Covers, e.What)
}

// Unwrap returns ErrRoute.
func (e *RouteError) Unwrap() error { return ErrRoute }
