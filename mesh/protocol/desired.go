package protocol

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// member is someone who is to be in the device, and how to reach it.
type member struct {
	signed   *identity.Signed
	endpoint netip.AddrPort // to try first; invalid to leave it to the device
	quiet    bool           // send nothing unasked: it is away, or does not know us yet
}

// base is what of a wanted configuration does not depend on others.
type base struct {
	key   overlay.Key
	port  int
	mtu   int
	mesh  identity.Mesh
	grant identity.Grant
}

// desired computes the whole data plane. Every prefix in it stems from a
// certificate's grant.
func desired(b base, members []member) overlay.Config {
	c := overlay.Config{
		PrivateKey: b.key,
		Port:       b.port,
		MTU:        b.mtu,
		Addresses:  hostPrefixes(b.grant),
		Routes:     []netip.Prefix{b.mesh.CIDR, b.mesh.CIDR6},
		Peers:      make([]overlay.Peer, 0, len(members)),
	}
	for _, m := range members {
		p := overlay.Peer{
			PublicKey:  overlay.Key(m.signed.Record.WireGuardKey),
			Endpoint:   m.endpoint,
			AllowedIPs: hostPrefixes(m.signed.Grant),
		}
		if !m.quiet {
			p.Keepalive = keepalive
		}
		c.Peers = append(c.Peers, p)
	}
	return c
}

// hostPrefixes returns a node's overlay addresses as prefixes of one address.
func hostPrefixes(g identity.Grant) []netip.Prefix {
	var ps []netip.Prefix
	for _, a := range []netip.Addr{g.IP, g.IP6} {
		if a.IsValid() {
			ps = append(ps, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return ps
}
