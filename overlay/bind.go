package overlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// udpBind is wireguard-go's way to the network: one UDP socket of each family,
// on one port, with batches and segmentation offload, and with answers leaving
// from the address that the peer wrote to.
//
// It stands in for conn.StdNetBind, which sends packets astray on hosts that
// use both families: it reuses address buffers of IPv4 sends for IPv6 ones and
// fills only 4 of their 16 bytes (wireguard-go ecfc5a8, conn/bind_std.go,
// Send). Its offloads cannot be switched off either.
type udpBind struct {
	offload  bool
	inflight *inflight // nil: received packets are not bounded

	mu     sync.RWMutex // guards the fields below
	v4, v6 *udpSocket   // nil if closed, or if the host has no such family
}

var (
	_ conn.Bind     = (*udpBind)(nil)
	_ conn.Endpoint = (*endpoint)(nil)
)

const (
	// batchSize is the most datagrams handled at once with offload, as large as
	// the TUN device's batch.
	batchSize = conn.IdealBatchSize

	// socketBuffer is the size in bytes of each socket's kernel buffers, for
	// bursts on fast and distant links; as in wireguard-go.
	socketBuffer = 7 << 20

	// portTries bounds the search for a port that is free in both families.
	portTries = 100
)

// newBind returns a closed bind. Without offload it handles datagrams one by
// one. What it receives counts in f until somebody says that it is done.
func newBind(offload bool, f *inflight) *udpBind { return &udpBind{offload: offload, inflight: f} }

// Open implements conn.Bind.
func (b *udpBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	for i := 0; ; i++ {
		v4, v6, err := b.listen(port)
		if port == 0 && errors.Is(err, unix.EADDRINUSE) && i < portTries {
			continue // the port that the kernel picked for IPv4 is taken in IPv6
		}
		if err != nil {
			return nil, 0, err
		}
		b.v4, b.v6 = v4, v6
		var fns []conn.ReceiveFunc
		for _, s := range []*udpSocket{v4, v6} {
			if s != nil {
				s.inflight = b.inflight
				fns = append(fns, s.receiver(b.BatchSize()))
				port = s.port()
			}
		}
		return fns, port, nil
	}
}

// listen opens a socket of each family that the host has.
func (b *udpBind) listen(port uint16) (v4, v6 *udpSocket, err error) {
	v4, err = openSocket("udp4", port, b.offload)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil, err
	}
	if v4 != nil {
		port = v4.port()
	}
	v6, err = openSocket("udp6", port, b.offload)
	if err == nil || (v4 != nil && errors.Is(err, unix.EAFNOSUPPORT)) {
		return v4, v6, nil
	}
	if v4 != nil {
		v4.conn.Close()
	}
	return nil, nil, err
}

// Close implements conn.Bind.
func (b *udpBind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, s := range []*udpSocket{b.v4, b.v6} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	b.v4, b.v6 = nil, nil
	return errors.Join(errs...)
}

// SetMark implements conn.Bind.
func (b *udpBind) SetMark(mark uint32) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, s := range []*udpSocket{b.v4, b.v6} {
		if s == nil {
			continue
		}
		raw, err := s.conn.SyscallConn()
		if err != nil {
			return err
		}
		var set error
		err = raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		})
		if err := errors.Join(err, set); err != nil {
			return fmt.Errorf("mark: %w", err)
		}
	}
	return nil
}

// Send implements conn.Bind.
func (b *udpBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	e, ok := ep.(*endpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	b.mu.RLock()
	s := b.v4
	if e.dst.Addr().Is6() {
		s = b.v6
	}
	b.mu.RUnlock()
	if s == nil {
		return unix.EAFNOSUPPORT
	}
	return s.send(bufs, e)
}

// ParseEndpoint implements conn.Bind.
func (b *udpBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	return &endpoint{dst: unmap(ap)}, nil
}

// BatchSize implements conn.Bind.
func (b *udpBind) BatchSize() int {
	if b.offload {
		return batchSize
	}
	return 1
}

// endpoint is where a peer's packets go, and from which of the host's
// addresses.
type endpoint struct {
	dst     netip.AddrPort
	src     netip.Addr  // invalid: the kernel chooses
	cleared atomic.Bool // src does not count any more
}

func (e *endpoint) source() netip.Addr {
	if e.cleared.Load() {
		return netip.Addr{}
	}
	return e.src
}

// ClearSrc implements conn.Endpoint.
func (e *endpoint) ClearSrc() { e.cleared.Store(true) }

// SrcToString implements conn.Endpoint.
func (e *endpoint) SrcToString() string { return e.source().String() }

// DstToString implements conn.Endpoint.
func (e *endpoint) DstToString() string { return e.dst.String() }

// DstToBytes implements conn.Endpoint.
func (e *endpoint) DstToBytes() []byte {
	b, _ := e.dst.MarshalBinary() // never fails
	return b
}

// DstIP implements conn.Endpoint.
func (e *endpoint) DstIP() netip.Addr { return e.dst.Addr() }

// SrcIP implements conn.Endpoint.
func (e *endpoint) SrcIP() netip.Addr { return e.source() }

// openSocket opens a UDP socket; network is udp4 or udp6.
func openSocket(network string, port uint16, offload bool) (*udpSocket, error) {
	var gso, gro bool
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) {
			opt = setOptions(int(fd), network)
			if offload {
				gso, gro = enableOffload(int(fd))
			}
		})
		return errors.Join(err, opt)
	}}
	c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return newSocket(c.(*net.UDPConn), network == "udp6", gso, gro), nil
}

func setOptions(fd int, network string) error {
	// Beyond net.core.{r,w}mem_max where CAP_NET_ADMIN allows; less is only slower.
	for _, o := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o, socketBuffer)
	}
	if network == "udp4" {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
	)
}

// enableOffload reports which offloads the kernel has. Kernels before 5.12
// cannot be asked for UDP_GRO; it is left off there.
func enableOffload(fd int) (gso, gro bool) {
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	gso = err == nil
	if unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) != nil {
		return gso, false
	}
	if on, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO); err == nil && on == 1 {
		return gso, true
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 0)
	return gso, false
}
