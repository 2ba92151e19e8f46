package meshtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/overlay"
)

var (
	_ mesh.Net    = (*Host)(nil)
	_ mesh.Device = (*Host)(nil)
)

// Set implements mesh.Device. Peers that stay keep their sessions; an endpoint
// is applied when it changes in the configuration. It refuses what the real
// device refuses.
func (h *Host) Set(_ context.Context, c overlay.Config) error {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	if err := c.Validate(); err != nil {
		return err
	}
	for _, p := range c.Peers {
		if p.Endpoint.IsValid() && p.Endpoint == h.refuse {
			return fmt.Errorf("set: %w", &overlay.RouteError{Peer: p.PublicKey, Of: p.Endpoint, What: "an endpoint to refuse"})
		}
	}
	before := map[overlay.Key]overlay.Peer{}
	for _, p := range h.config.Peers {
		before[p.PublicKey] = p
	}
	peers := map[overlay.Key]*peer{}
	for _, p := range c.Peers {
		q := h.peers[p.PublicKey]
		if q == nil {
			q = &peer{status: overlay.PeerStatus{PublicKey: p.PublicKey}}
		}
		if p.Endpoint.IsValid() && p.Endpoint != before[p.PublicKey].Endpoint {
			q.status.Endpoint = p.Endpoint
		}
		q.status.AllowedIPs = p.AllowedIPs
		peers[p.PublicKey] = q
	}
	h.configureLocked(c, peers)
	h.sets++
	return nil
}

// Peers implements mesh.Device.
func (h *Host) Peers() ([]overlay.PeerStatus, error) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	ps := make([]overlay.PeerStatus, 0, len(h.peers))
	for _, p := range h.peers {
		ps = append(ps, p.status)
	}
	return ps, nil
}

// Addresses implements mesh.Net.
func (h *Host) Addresses(string) ([]netip.Prefix, error) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	return slices.Clone(h.addrs), nil
}

// Listen implements mesh.Net.
func (h *Host) Listen(_ context.Context, addr string) (net.Listener, error) {
	if addr != "" && addr[0] == ':' {
		addr = "0.0.0.0" + addr
	}
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	if h.down {
		return nil, ErrUnreachable
	}
	if h.tcp[a.String()] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	l := &listener{addr: a, conns: make(chan net.Conn, 1024), done: make(chan struct{})}
	l.forget = func() {
		h.fabric.mu.Lock()
		defer h.fabric.mu.Unlock()
		if h.tcp[a.String()] == l {
			delete(h.tcp, a.String())
		}
	}
	h.tcp[a.String()] = l
	return l, nil
}

// Dial implements mesh.Net.
func (h *Host) Dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l, near, far, err := h.connect(from, to)
	if err != nil {
		return nil, err
	}
	var mine, others net.Conn = near, far
	if near.impaired() {
		if err := near.shake(ctx); err != nil {
			return nil, err
		}
		mine, others = newSlow(near), newSlow(far)
	}
	if !l.queue(others) {
		closeBoth(mine, others)
		return nil, fmt.Errorf("%s: backlog full: %w", addr, ErrRefused)
	}
	return mine, nil
}

// connect finds who listens at an address and makes both ends of a connection.
func (h *Host) connect(from netip.Addr, to netip.AddrPort) (l *listener, near, far *conn, err error) {
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	var other *Host
	inside := from.IsValid()
	if inside {
		other, err = h.fabric.tunnelLocked(h, from, to.Addr(), 60)
	} else {
		from = h.seenAs()
		other, err = h.fabric.routeLocked(h, to.Addr())
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if l = other.tcp[to.String()]; l == nil {
		l = other.tcp[netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port()).String()]
	}
	if l == nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", to, ErrRefused)
	}
	a, b := net.Pipe()
	near = &conn{Conn: a, host: h, other: other, inside: inside, local: tcpAddr(from, 40000), remote: tcpAddr(to.Addr(), to.Port())}
	far = &conn{Conn: b, host: other, other: h, inside: inside, local: near.remote, remote: near.local}
	return l, near, far, nil
}

func closeBoth(a, b net.Conn) { _, _ = a.Close(), b.Close() }

// routeLocked finds the host with an underlay address.
func (f *Fabric) routeLocked(h *Host, to netip.Addr) (*Host, error) {
	for _, other := range f.hosts {
		has := slices.ContainsFunc(other.addrs, func(p netip.Prefix) bool { return p.Addr() == to })
		if has && !other.outside.IsValid() && !f.cutLocked(h, other) {
			return other, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", to, ErrUnreachable)
}

// ListenPacket implements mesh.Net.
func (h *Host) ListenPacket(_ context.Context, addr string) (net.PacketConn, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	h.fabric.mu.Lock()
	defer h.fabric.mu.Unlock()
	if h.down {
		return nil, ErrUnreachable
	}
	if h.udp[a] != nil {
		return nil, fmt.Errorf("listen %s: address already in use", addr)
	}
	p := &packetConn{host: h, addr: a, packets: make(chan packet, 4096), done: make(chan struct{})}
	h.udp[a] = p
	return p, nil
}

// conn is a connection that knows its addresses.
type conn struct {
	net.Conn
	host, other   *Host
	inside        bool
	local, remote net.Addr
}

// Write implements net.Conn. A connection that the other closed is broken.
func (c *conn) Write(b []byte) (int, error) {
	c.saw(b)
	n, err := c.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = syscall.EPIPE
	}
	return n, err
}

// saw shows what is written to who watches.
func (c *conn) saw(b []byte) {
	f := c.host.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seenLocked(Sent{From: c.host, To: c.other, Inside: c.inside, Data: b})
}

func (c *conn) impaired() bool {
	f := c.host.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.impair != nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

type listener struct {
	addr   netip.AddrPort
	conns  chan net.Conn
	done   chan struct{}
	forget func()

	mu   sync.Mutex // guards over
	over bool
}

// shut ends the listener, and the connections that nobody will accept.
func (l *listener) shut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	close(l.done)
	for len(l.conns) > 0 {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
		}
	}
}

// queue puts a connection into the backlog unless that is full.
func (l *listener) queue(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	select {
	case l.conns <- c:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.forget()
	l.shut()
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

type packet struct {
	data []byte
	from netip.AddrPort
}

type packetConn struct {
	host    *Host
	addr    netip.AddrPort
	packets chan packet
	done    chan struct{}
	once    sync.Once
}

func (p *packetConn) shut() { p.once.Do(func() { close(p.done) }) }

// ReadFrom implements net.PacketConn.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case q := <-p.packets:
		return copy(b, q.data), net.UDPAddrFromAddrPort(q.from), nil
	case <-p.done:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn. Packets that do not pass are lost, as
// those of UDP are.
func (p *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-p.done:
		return 0, net.ErrClosed
	default:
	}
	dst := to.(*net.UDPAddr).AddrPort()
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	f := p.host.fabric
	f.mu.Lock()
	defer f.mu.Unlock()
	other, err := f.tunnelLocked(p.host, p.addr.Addr(), dst.Addr(), len(b)+28)
	if err != nil || other.udp[dst] == nil {
		return len(b), nil
	}
	f.seenLocked(Sent{From: p.host, To: other, Packet: true, Inside: true, Data: b})
	lost, after := f.fateLocked(p.host, other)
	pk := packet{slices.Clone(b), p.addr}
	switch {
	case lost:
	case after == 0:
		other.deliverLocked(dst, pk)
	default:
		time.AfterFunc(after, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			other.deliverLocked(dst, pk)
		})
	}
	return len(b), nil
}

// deliverLocked hands a datagram to whoever listens now.
func (h *Host) deliverLocked(dst netip.AddrPort, pk packet) {
	if s := h.udp[dst]; s != nil {
		select {
		case s.packets <- pk:
		default:
		}
	}
}

// Close implements net.PacketConn.
func (p *packetConn) Close() error {
	p.host.fabric.mu.Lock()
	if p.host.udp[p.addr] == p {
		delete(p.host.udp, p.addr)
	}
	p.host.fabric.mu.Unlock()
	p.shut()
	return nil
}

// LocalAddr implements net.PacketConn.
func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.addr) }

// SetDeadline implements net.PacketConn: there are none.
func (p *packetConn) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.PacketConn: there are none.
func (p *packetConn) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.PacketConn: there are none.
func (p *packetConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
