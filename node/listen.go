package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/identity"
)

// listenAgain is the pause before a port that is taken is tried again.
const listenAgain = 5 * time.Second

// onOverlay listens on a port of the node's overlay addresses and serves there
// until ctx ends. A port that something else holds is no reason to stop
// forwarding: it is said once and tried again.
func (n *Node) onOverlay(ctx context.Context, roots *identity.Roots, port int, serve func(context.Context, []net.Listener) error, ips ...netip.Addr) error {
	said := false
	for {
		ls, err := listenOverlay(ctx, roots.Mesh(), port, ips)
		if err == nil {
			err = serve(ctx, ls)
			if ctx.Err() != nil {
				return nil
			}
		}
		if !said {
			n.log.Error("overlay port is not served: is something else listening on it?", "port", port, "err", err)
			said = true
		}
		t := time.NewTimer(listenAgain)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// listenOverlay listens on the addresses, of which the interface may not have
// any yet, and on none if one of them fails. A host without IPv6 is served on
// IPv4 alone.
func listenOverlay(ctx context.Context, m identity.Mesh, port int, ips []netip.Addr) ([]net.Listener, error) {
	lc := net.ListenConfig{Control: freebind}
	all := &crowd{from: make(map[netip.Addr]int)}
	var ls []net.Listener
	for _, ip := range ips {
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(ip.String(), strconv.Itoa(port)))
		if errors.Is(err, unix.EAFNOSUPPORT) && ip.Is6() && len(ls) > 0 {
			continue
		}
		if err != nil {
			for _, l := range ls {
				l.Close()
			}
			return nil, err
		}
		ls = append(ls, &inside{Listener: l, mesh: m, crowd: all})
	}
	return ls, nil
}

// freebind allows binding an address before the interface has it, and keeps
// the socket when the interface is made anew.
func freebind(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_FREEBIND
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); cerr != nil {
		return cerr
	}
	return err
}

// inside accepts connections from the mesh alone. Linux answers for an address
// on every interface: without this a neighbour in the local network could
// reach the overlay address by a route of its own.
type inside struct {
	net.Listener
	mesh  identity.Mesh
	crowd *crowd
}

// Accept implements net.Listener. Connections from elsewhere, and those over a
// limit, are closed.
func (l *inside) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			from := a.AddrPort().Addr().Unmap()
			if (l.mesh.CIDR.Contains(from) || l.mesh.CIDR6.Contains(from)) && l.crowd.enter(from) {
				return &guest{Conn: c, leave: func() { l.crowd.leave(from) }}, nil
			}
		}
		c.Close()
	}
}

// Limits on the connections to one overlay port at once. No member alone keeps
// the others out; a server that runs as many commands as a node takes has room.
const (
	maxConns     = 256
	maxConnsFrom = 96
)

// crowd counts who is connected to a port.
type crowd struct {
	mu   sync.Mutex // guards the fields below
	all  int
	from map[netip.Addr]int
}

func (c *crowd) enter(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxConns || c.from[a] >= maxConnsFrom {
		return false
	}
	c.all++
	c.from[a]++
	return true
}

func (c *crowd) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.from[a]--; c.from[a] == 0 {
		delete(c.from, a)
	}
}

// guest leaves the crowd when it is closed.
type guest struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	err := g.Conn.Close()
	g.once.Do(g.leave)
	return err
}
