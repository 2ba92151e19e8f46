package overlay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// plainBind sends and receives datagrams one by one, without UDP segmentation
// offload. The kernel picks the source address of each.
type plainBind struct {
	mu     sync.RWMutex // guards the fields below
	v4, v6 *net.UDPConn // nil if closed, or if the host has no such family
}

var (
	_ conn.Bind     = (*plainBind)(nil)
	_ conn.Endpoint = plainEndpoint{}
)

func newPlainBind() conn.Bind { return &plainBind{} }

// Open implements conn.Bind.
func (b *plainBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.v4 != nil || b.v6 != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	const tries = 100 // a port the kernel picked for IPv4 may be taken in IPv6
	for i := 0; ; i++ {
		v4, v6, err := listenBoth(port)
		if port == 0 && errors.Is(err, unix.EADDRINUSE) && i < tries {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		b.v4, b.v6 = v4, v6
		var fns []conn.ReceiveFunc
		for _, c := range []*net.UDPConn{v6, v4} {
			if c != nil {
				fns = append(fns, receiveFrom(c))
				port = uint16(c.LocalAddr().(*net.UDPAddr).Port)
			}
		}
		return fns, port, nil
	}
}

// listenBoth opens a socket of each family that the host has, on one port.
func listenBoth(port uint16) (v4, v6 *net.UDPConn, err error) {
	v4, err = net.ListenUDP("udp4", &net.UDPAddr{Port: int(port)})
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil, err
	}
	if v4 != nil {
		port = uint16(v4.LocalAddr().(*net.UDPAddr).Port)
	}
	v6, err = net.ListenUDP("udp6", &net.UDPAddr{Port: int(port)})
	if err == nil || (v4 != nil && errors.Is(err, unix.EAFNOSUPPORT)) {
		return v4, v6, nil
	}
	if v4 != nil {
		v4.Close()
	}
	return nil, nil, err
}

func receiveFrom(c *net.UDPConn) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		n, from, err := c.ReadFromUDPAddrPort(packets[0])
		if err != nil {
			return 0, err
		}
		sizes[0], eps[0] = n, plainEndpoint{from}
		return 1, nil
	}
}

// Close implements conn.Bind.
func (b *plainBind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, c := range []*net.UDPConn{b.v4, b.v6} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	b.v4, b.v6 = nil, nil
	return errors.Join(errs...)
}

// SetMark implements conn.Bind.
func (b *plainBind) SetMark(mark uint32) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, c := range []*net.UDPConn{b.v4, b.v6} {
		if c == nil {
			continue
		}
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		var set error
		err = raw.Control(func(fd uintptr) {
			set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		})
		if err := errors.Join(err, set); err != nil {
			return err
		}
	}
	return nil
}

// Send implements conn.Bind.
func (b *plainBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	to, ok := ep.(plainEndpoint)
	if !ok {
		return conn.ErrWrongEndpointType
	}
	b.mu.RLock()
	c := b.v4
	if to.Addr().Is6() {
		c = b.v6
	}
	b.mu.RUnlock()
	if c == nil {
		return unix.EAFNOSUPPORT
	}
	for _, p := range bufs {
		if _, err := c.WriteToUDPAddrPort(p, to.AddrPort); err != nil {
			return err
		}
	}
	return nil
}

// ParseEndpoint implements conn.Bind.
func (b *plainBind) ParseEndpoint(s string) (conn.Endpoint, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	return plainEndpoint{unmap(ap)}, nil
}

// BatchSize implements conn.Bind.
func (b *plainBind) BatchSize() int { return 1 }

// plainEndpoint is a destination; it remembers no source.
type plainEndpoint struct{ netip.AddrPort }

// ClearSrc implements conn.Endpoint.
func (e plainEndpoint) ClearSrc() {}

// SrcToString implements conn.Endpoint.
func (e plainEndpoint) SrcToString() string { return "" }

// DstToString implements conn.Endpoint.
func (e plainEndpoint) DstToString() string { return e.String() }

// DstToBytes implements conn.Endpoint.
func (e plainEndpoint) DstToBytes() []byte {
	b, _ := e.MarshalBinary() // cannot fail
	return b
}

// DstIP implements conn.Endpoint.
func (e plainEndpoint) DstIP() netip.Addr { return e.Addr() }

// SrcIP implements conn.Endpoint.
func (e plainEndpoint) SrcIP() netip.Addr { return netip.Addr{} }
