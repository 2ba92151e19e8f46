package mesh

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// hostNet is the network of this host.
type hostNet struct{}

var _ Net = hostNet{}

// Listen implements Net.
func (hostNet) Listen(ctx context.Context, addr string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", addr)
}

// ListenPacket implements Net.
func (hostNet) ListenPacket(ctx context.Context, addr string) (net.PacketConn, error) {
	var c net.ListenConfig
	return c.ListenPacket(ctx, "udp", addr)
}

// Dial implements Net.
func (hostNet) Dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", addr)
}

// Addresses implements Net.
func (hostNet) Addresses(except string) ([]netip.Prefix, error) {
	ifs, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("interfaces: %w", err)
	}
	var ps []netip.Prefix
	for _, i := range ifs {
		if i.Name == except || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away meanwhile
		}
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			ones, bits := n.Mask.Size()
			if ip = ip.Unmap(); ok && protocol.UsableAddr(ip) && bits == ip.BitLen() && !insideTunnel(i, ip) {
				ps = append(ps, netip.PrefixFrom(ip, ones))
			}
		}
	}
	return ps, nil
}

// insideTunnel reports whether an address belongs to another tunnel of this
// host, such as a second VPN: packets of ours in one would be wrapped twice. A
// point-to-point link with a public address is an uplink.
func insideTunnel(i net.Interface, ip netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) // RFC 6598
	return i.Flags&net.FlagPointToPoint != 0 && (ip.IsPrivate() || shared.Contains(ip))
}
