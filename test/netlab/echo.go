package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// echoBuffer is the receive buffer of an echo socket in bytes: answers of
// thousands of hosts may come at once.
const echoBuffer = 4 << 20

// echoSocket sends ICMP echo requests and receives the answers, of one family.
// The kernel chooses the identifier and hands over our own answers only.
type echoSocket struct {
	*icmp.PacketConn
	v6 bool
}

// openEcho opens a socket at the host.
func (h *Host) openEcho(v6 bool) (*echoSocket, error) {
	network, address := "udp4", "0.0.0.0"
	if v6 {
		network, address = "udp6", "::"
	}
	s := &echoSocket{v6: v6}
	err := h.Do(func() (err error) {
		s.PacketConn, err = icmp.ListenPacket(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("echo socket at host %s: %w", h.Name, err)
	}
	return s, s.bigBuffer()
}

func (s *echoSocket) bigBuffer() error {
	conn, ok := s.packetConn().(interface{ SetReadBuffer(int) error })
	if !ok {
		return nil
	}
	if err := conn.SetReadBuffer(echoBuffer); err != nil {
		return errors.Join(fmt.Errorf("buffer of echo socket: %w", err), s.Close())
	}
	return nil
}

func (s *echoSocket) packetConn() net.PacketConn {
	if s.v6 {
		return s.IPv6PacketConn().PacketConn
	}
	return s.IPv4PacketConn().PacketConn
}

// send sends one echo request.
func (s *echoSocket) send(to netip.Addr, seq uint16, data []byte) error {
	var kind icmp.Type = ipv4.ICMPTypeEcho
	if s.v6 {
		kind = ipv6.ICMPTypeEchoRequest
	}
	m := icmp.Message{Type: kind, Body: &icmp.Echo{Seq: int(seq), Data: data}}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	_, err = s.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 0)))
	return err
}

// receive waits for one answer and returns whence it came and its data, which is
// valid until buf is used again.
func (s *echoSocket) receive(buf []byte) (netip.Addr, []byte, error) {
	for {
		n, from, err := s.ReadFrom(buf)
		if err != nil {
			return netip.Addr{}, nil, err
		}
		u, ok := from.(*net.UDPAddr)
		if !ok || n < 8 || buf[0] != byte(ipv4.ICMPTypeEchoReply) && buf[0] != byte(ipv6.ICMPTypeEchoReply) {
			continue
		}
		addr, _ := netip.AddrFromSlice(u.IP)
		return addr.Unmap(), buf[8:n], nil
	}
}

// stamp is what an echo request carries: when it was sent, and its number.
func stamp(buf []byte, at time.Duration, seq uint64) {
	binary.BigEndian.PutUint64(buf, uint64(at))
	binary.BigEndian.PutUint64(buf[8:], seq)
}

func readStamp(b []byte) (at time.Duration, seq uint64, ok bool) {
	if len(b) < stampSize {
		return 0, 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:]), true
}

// stampSize is what stamp fills, in bytes.
const stampSize = 16
