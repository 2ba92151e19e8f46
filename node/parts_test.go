package node_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/node/remote"
)

func TestNextWarning(t *testing.T) {
	day := 24 * time.Hour
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name          string
		validity, age time.Duration
		want          time.Duration
	}{
		{"a year's, new", 397 * day, 0, 367 * day},
		{"a year's, 29 days to go", 397 * day, 368 * day, -day},
		{"a month's, new", 30 * day, 0, 20 * day},
		{"a month's, two thirds gone", 30 * day, 20 * day, 0},
		{"ended", 30 * day, 31 * day, -11 * day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(tt.validity)}
			if got := node.NextWarning(c, begin.Add(tt.age)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEcho(t *testing.T) {
	lo := netip.MustParseAddr("127.0.0.1")
	rtt, via, err := node.Echo(t.Context(), lo, lo, 5*time.Second)
	if err != nil || rtt <= 0 {
		t.Errorf("Echo: %v, %v by %s", rtt, err, via)
	}
	if os.Geteuid() == 0 && via != "icmp" {
		t.Errorf("Echo by %s, want icmp as root", via)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().(*net.TCPAddr).AddrPort()
	if _, err := node.TCPEcho(t.Context(), lo, addr); err != nil {
		t.Errorf("TCPEcho of an open port: %v", err)
	}
	closed.Close()
	if _, err := node.TCPEcho(t.Context(), lo, addr); err != nil {
		t.Errorf("TCPEcho of a closed port: %v, want an answer", err)
	}
}

func TestEchoPacket(t *testing.T) {
	nonce := []byte("0123456789abcdef")
	p := node.EchoRequest(nonce)
	if got := node.Checksum(p); got != 0 {
		t.Errorf("checksum over the packet: %#x, want 0", got)
	}
	if node.IsReply(p, nonce) {
		t.Error("the request was taken for its reply")
	}
	p[0] = 0
	if !node.IsReply(p, nonce) {
		t.Error("the reply was not known")
	}
	if node.IsReply(p, []byte("0123456789abcdeX")) || node.IsReply(p[:10], nonce) {
		t.Error("another's reply was taken")
	}
}

func FuzzIsReply(f *testing.F) {
	nonce := []byte("0123456789abcdef")
	f.Add(node.EchoRequest(nonce))
	f.Fuzz(func(t *testing.T, b []byte) {
		if node.IsReply(b, nonce) && !strings.Contains(string(b), string(nonce)) {
			t.Errorf("%x does not hold the nonce", b)
		}
		node.Checksum(b)
	})
}

func TestNoAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    mesh.Peer
		want []string
	}{
		{"never heard of", mesh.Peer{Name: "b", State: mesh.StateConnecting}, []string{"b (", "connecting", "no address of it is known"}},
		{"no handshake", mesh.Peer{State: mesh.StateUnreachable, Reason: "silent", Endpoint: netip.MustParseAddrPort("192.0.2.1:1")},
			[]string{"unreachable (silent)", "192.0.2.1:1", "firewall"}},
		{"was up", mesh.Peer{State: mesh.StateUp, Endpoint: netip.MustParseAddrPort("192.0.2.1:1"), LastHandshake: time.Now().Add(-time.Minute)},
			[]string{"last handshake 1m0s ago"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := node.NoAnswer(tt.p, errors.New("no answer within 1s"))
			for _, want := range append(tt.want, "no answer within 1s") {
				if !strings.Contains(got, want) {
					t.Errorf("%q lacks %q", got, want)
				}
			}
		})
	}
}

// Overlay ports are bound before any interface has the address, and a
// neighbour outside the mesh is not served.
func TestListenInside(t *testing.T) {
	l := newLab(t)
	m := l.ca.Mesh
	b := l.bundle("a", time.Now(), time.Hour)
	g, err := b.Grant(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ls, err := node.ListenInside(t.Context(), m, 0, []netip.Addr{g.IP, g.IP6})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(ls) == 0 {
		t.Error("no listener")
	}
	lo := netip.MustParseAddr("127.0.0.1")
	outside, err := node.ListenInside(t.Context(), m, 0, []netip.Addr{lo})
	if err != nil {
		t.Fatal(err)
	}
	checkServed(t, outside[0], false)
	m.CIDR = netip.MustParsePrefix("127.0.0.0/8")
	inside, err := node.ListenInside(t.Context(), m, 0, []netip.Addr{lo})
	if err != nil {
		t.Fatal(err)
	}
	checkServed(t, inside[0], true)
}

func checkServed(t *testing.T, l net.Listener, want bool) {
	t.Helper()
	s := &http.Server{Handler: http.NotFoundHandler()}
	ended := make(chan struct{})
	go func() { defer close(ended); s.Serve(l) }()
	defer func() { s.Close(); <-ended }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/", l.Addr()), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err == nil {
		res.Body.Close()
	}
	if got := err == nil; got != want {
		t.Errorf("from 127.0.0.1: served %v (%v), want %v", got, err, want)
	}
}

// While a node runs its metrics and its API are served on its overlay address,
// though this host has no such address.
func TestOverlayPortsAreBound(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	m := newFakeMesh()
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}})
	r := start(t, n, c)
	defer func() { r.cancel(); _ = r.end() }()
	for _, port := range []uint16{node.MetricsPort, remote.Port} {
		r.until("port is bound", func() error {
			ls, err := node.ListenInside(t.Context(), l.ca.Mesh, int(port), []netip.Addr{l.ip})
			if err == nil {
				return errors.Join(ls[0].Close(), fmt.Errorf("port %d is free", port))
			}
			return nil
		})
	}
	if _, err := control.Dial(c.Socket).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// One member alone cannot take all connections to a port of the overlay, and
// what it closes is free again.
func TestOneSourceDoesNotTakeAPort(t *testing.T) {
	m := newLab(t).ca.Mesh
	m.CIDR = netip.MustParsePrefix("127.0.0.0/8")
	ls, err := node.ListenInside(t.Context(), m, 0, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	defer ls[0].Close()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		c, err := d.DialContext(t.Context(), "tcp", ls[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	accept := func() net.Conn {
		c, err := ls[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var first net.Conn
	for i := range node.MaxConnsFrom {
		dial("127.0.0.2")
		if c := accept(); i == 0 {
			first = c
		}
	}
	dial("127.0.0.2") // one too many: passed over
	dial("127.0.0.3")
	if got := accept().RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.3" {
		t.Errorf("accepted %s, want 127.0.0.3", got)
	}
	first.Close()
	first.Close()
	dial("127.0.0.2")
	if got := accept().RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.2" {
		t.Errorf("accepted %s, want 127.0.0.2", got)
	}
}
