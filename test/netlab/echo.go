package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socketBuffer is the receive buffer of sockets that await answers, in bytes:
// thousands may come at once, while this process does something else.
const socketBuffer = 4 << 20

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
	if err := bigBuffer(s.packetConn()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// bigBuffer enlarges a socket's receive buffer, beyond the limit for all.
func bigBuffer(c net.PacketConn) error {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("receive buffer: %T has no descriptor", c)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
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
