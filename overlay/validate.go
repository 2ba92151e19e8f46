package overlay

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	// DefaultMTU of the interface in bytes: the least that IPv6 allows. With
	// WireGuard's overhead of up to 80 bytes it fits every known cloud and
	// uplink.
	DefaultMTU = 1280

	// UserspaceMemoryLimit is the soft limit in bytes that a process with a
	// userspace device should pass to debug.SetMemoryLimit. The limit counts
	// wireguard-go's buffers of 64 KiB as a whole, of which mostly a page each is
	// resident: a process at 100 MiB of these has some 40 MB. A limit that the
	// buffers under way reach has the garbage collector run all the time, which
	// takes a third of the throughput and, as it clears what it reuses, more
	// memory than without.
	UserspaceMemoryLimit = 200 << 20

	// UserspaceGCPercent is the least garbage, in per cent of what is in use,
	// that such a process should collect (debug.SetGCPercent). In use are at least
	// 25 MB of buffers, of which nearly nothing is resident; as much garbage on
	// top of them would be.
	UserspaceGCPercent = 10

	minMTU       = 576   // what every IPv4 host must accept (RFC 791)
	minMTU6      = 1280  // RFC 8200; Linux switches IPv6 off below
	maxMTU       = 65000 // a WireGuard datagram must fit into 64 KiB
	maxPeers     = 1<<16 - 1
	maxKeepalive = 65535 * time.Second // 16 bits of seconds in WireGuard
)

// reserved are prefixes that never belong to an overlay: no route into the
// tunnel may overlap them. 169.254.0.0/16 holds the clouds' metadata services.
var reserved = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "the loopback network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "the link-local network with the clouds' metadata services"},
	{netip.MustParsePrefix("224.0.0.0/4"), "the multicast networks"},
	{netip.MustParsePrefix("::1/128"), "the loopback address"},
	{netip.MustParsePrefix("fe80::/10"), "the link-local network"},
	{netip.MustParsePrefix("ff00::/8"), "the multicast networks"},
}

// Validate reports all faults of c at once, each with its place. Set calls it
// before it touches anything. Routes that collide with the host's networks are
// found by Set alone; they, reserved networks and endpoints that lie inside a
// route give a [*RouteError].
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.PrivateKey.IsZero() {
		fault("privateKey: missing")
	}
	if c.Port < 0 || c.Port > 65535 {
		fault("port: %d is not between 0 and 65535", c.Port)
	}
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		fault("mtu: %d is not between %d and %d", c.MTU, minMTU, maxMTU)
	}
	for i, p := range c.Addresses {
		switch {
		case !p.IsValid() || p.Addr().Is4In6() || !p.IsSingleIP():
			fault("addresses[%d]: %s is not a single address, as in 10.66.0.1/32", i, p)
		case p.Addr().Is6() && c.MTU != 0 && c.MTU < minMTU6:
			fault("mtu: %d is too small for the IPv6 address %s; it needs %d", c.MTU, p.Addr(), minMTU6)
		}
	}
	for i, p := range c.Routes {
		if err := checkPrefix(p); err != nil {
			fault("routes[%d]: %w", i, err)
			continue
		}
		if p.Addr().Is6() && c.MTU != 0 && c.MTU < minMTU6 {
			fault("mtu: %d is too small for the IPv6 route %s; it needs %d", c.MTU, p, minMTU6)
		}
		if err := checkReserved(p); err != nil {
			fault("routes[%d]: %w", i, err)
		}
	}
	if len(c.Peers) > maxPeers {
		fault("peers: %d are more than the %d a device holds", len(c.Peers), maxPeers)
	}
	return errors.Join(append(faults, c.validatePeers()...)...)
}

func (c Config) validatePeers() []error {
	var faults []error
	self := c.PrivateKey.Public()
	seen := make(map[Key]int, len(c.Peers))
	owner := make(map[netip.Prefix]int, len(c.Peers))
	for i, p := range c.Peers {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("peers[%d] %s: %w", i, p.PublicKey, fmt.Errorf(format, args...)))
		}
		if other, ok := seen[p.PublicKey]; ok {
			fault("publicKey: also that of peers[%d]", other)
		}
		seen[p.PublicKey] = i
		switch {
		case p.PublicKey.IsZero():
			fault("publicKey: missing")
		case p.PublicKey == self:
			fault("publicKey: is this node's own")
		}
		if p.Keepalive < 0 || p.Keepalive > maxKeepalive || p.Keepalive%time.Second != 0 {
			fault("keepalive: %s is not in whole seconds between 0 and %s", p.Keepalive, maxKeepalive)
		}
		for j, a := range p.AllowedIPs {
			if err := checkPrefix(a); err != nil {
				fault("allowedIPs[%d]: %w", j, err)
			} else if other, ok := owner[a]; ok {
				fault("allowedIPs[%d]: %s also belongs to peers[%d]", j, a, other)
			} else {
				owner[a] = i
			}
		}
		if err := c.checkEndpoint(p); err != nil {
			fault("endpoint: %w", err)
		}
	}
	return faults
}

// checkEndpoint refuses what cannot be sent to, and an endpoint that a route
// would send back into the tunnel.
func (c Config) checkEndpoint(p Peer) error {
	if p.Endpoint == (netip.AddrPort{}) {
		return nil
	}
	a := p.Endpoint.Addr().Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || p.Endpoint.Port() == 0 {
		return fmt.Errorf("%s is not an address and port that can be sent to", p.Endpoint)
	}
	for _, r := range c.Routes {
		if r.Contains(a.WithZone("")) {
			return &RouteError{Route: r, Covers: netip.PrefixFrom(a.WithZone(""), a.BitLen()), Peer: p.PublicKey, Of: p.Endpoint,
				What: fmt.Sprintf("the endpoint %s of peer %s: its packets would go back into the tunnel", p.Endpoint, p.PublicKey)}
		}
	}
	return nil
}

// checkPrefix accepts a prefix in the one form that the kernel reports too.
func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.IsValid() || p.Addr().Is4In6():
		return fmt.Errorf("%s is not a prefix, as in 10.66.0.0/16", p)
	case p != p.Masked():
		return fmt.Errorf("%s has bits set behind its length; %s is meant", p, p.Masked())
	}
	return nil
}

func checkReserved(p netip.Prefix) error {
	if p.Bits() == 0 {
		return &RouteError{Route: p, Covers: p, What: "the host's default route"}
	}
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			return &RouteError{Route: p, Covers: r.prefix, What: r.what}
		}
	}
	return nil
}
