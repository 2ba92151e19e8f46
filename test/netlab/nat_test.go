package netlab_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// reflector answers datagrams at a host with the address that they came from.
type reflector struct {
	conn net.PacketConn
	at   netip.AddrPort
}

func newReflector(t *testing.T, h *netlab.Host) *reflector {
	t.Helper()
	c := socket(t, h, 0)
	r := &reflector{c, netip.AddrPortFrom(h.Public(), port(c))}
	done := make(chan struct{})
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo([]byte(from.String()), from)
		}
	}()
	return r
}

func socket(t *testing.T, h *netlab.Host, port uint16) net.PacketConn {
	t.Helper()
	c, err := h.ListenPacket(t.Context(), "udp4", netip.AddrPortFrom(h.Addr(), port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func port(c net.PacketConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

func send(t *testing.T, c net.PacketConn, to netip.AddrPort) {
	t.Helper()
	if _, err := c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next datagram, "" if none comes. It waits long where one is
// wanted, for a machine that is busy with other things.
func receive(t *testing.T, c net.PacketConn, want bool) string {
	t.Helper()
	limit := 400 * time.Millisecond
	if want {
		limit = 5 * time.Second
	}
	c.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 100)
	n, _, err := c.ReadFrom(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// seen is what a reflector says.
func seen(t *testing.T, c net.PacketConn, r *reflector) netip.AddrPort {
	t.Helper()
	send(t, c, r.at)
	got, err := netip.ParseAddrPort(receive(t, c, true))
	if err != nil {
		t.Fatalf("from %s to %s: %v", c.LocalAddr(), r.at, err)
	}
	return got
}

func TestNATMapping(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	open := lab.Site("open", netlab.SiteOptions{})
	r1, r2, r3 := newReflector(t, open.Host("r1")), newReflector(t, open.Host("r2")), newReflector(t, open.Host("r3"))
	tests := []struct {
		nat           netlab.NAT
		portKept, eim bool // eim: one mapping for all destinations
		ownAddress    bool // the host has a public address for itself
	}{
		{netlab.NATNone, true, true, true},
		{netlab.NATOneToOne, true, true, true},
		{netlab.NATEasy, true, true, false},
		{netlab.NATHard, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.nat.String(), func(t *testing.T) {
			s := lab.Site(tt.nat.String(), netlab.SiteOptions{NAT: tt.nat})
			a, b := s.Host("a"), s.Host("b")
			ca, cb := socket(t, a, 51820), socket(t, b, 51820)
			m1, m2, m3 := seen(t, ca, r1), seen(t, ca, r2), seen(t, ca, r3)
			if m1.Addr() != a.Public() || m2.Addr() != a.Public() {
				t.Errorf("seen as %s and %s, want from %s", m1, m2, a.Public())
			}
			if kept := m1.Port() == 51820; kept != tt.portKept {
				t.Errorf("port %d, want kept: %t", m1.Port(), tt.portKept)
			}
			if eim := m1 == m2 && m2 == m3; eim != tt.eim {
				t.Errorf("seen as %s, %s, %s, want the same: %t", m1, m2, m3, tt.eim)
			}
			if again := seen(t, ca, r1); again != m1 {
				t.Errorf("same destination seen as %s and then %s", m1, again)
			}
			other := seen(t, cb, r1)
			if other == m1 || (other.Addr() != m1.Addr()) != tt.ownAddress {
				t.Errorf("neighbour seen as %s, first host as %s, want addresses of their own: %t", other, m1, tt.ownAddress)
			}
		})
	}
}

// TestPunch: two hosts that both know what the other is seen as send first.
func TestPunch(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	r := newReflector(t, lab.Site("open", netlab.SiteOptions{}).Host("r"))
	newSocket := func(name string, nat netlab.NAT) net.PacketConn {
		return socket(t, lab.Site(name, netlab.SiteOptions{NAT: nat}).Host(name), 51820)
	}
	tests := []struct {
		name string
		a, b netlab.NAT
		want bool
	}{
		{"easy and easy", netlab.NATEasy, netlab.NATEasy, true},
		{"easy and hard", netlab.NATEasy, netlab.NATHard, false},
		{"hard and 1:1", netlab.NATHard, netlab.NATOneToOne, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ca, cb := newSocket(tt.name+" a", tt.a), newSocket(tt.name+" b", tt.b)
			ma, mb := seen(t, ca, r), seen(t, cb, r)
			send(t, ca, mb) // opens a's NAT, and is lost at b's if that filters
			send(t, cb, ma)
			send(t, ca, mb)
			got := receive(t, ca, false) != "" // one direction is enough
			if got = receive(t, cb, tt.want && !got) != "" || got; got != tt.want {
				t.Errorf("they heard each other: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestFiltering(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	open := lab.Site("open", netlab.SiteOptions{IPv6: true})
	r := newReflector(t, open.Host("r"))
	stranger := open.Host("stranger")
	tests := []struct {
		name string
		o    netlab.SiteOptions
		want bool // unsolicited datagrams come in
	}{
		{"none", netlab.SiteOptions{}, true},
		{"none, firewall", netlab.SiteOptions{Firewall: true}, false},
		{"1:1", netlab.SiteOptions{NAT: netlab.NATOneToOne}, true},
		{"1:1, firewall", netlab.SiteOptions{NAT: netlab.NATOneToOne, Firewall: true}, false},
		{"easy", netlab.SiteOptions{NAT: netlab.NATEasy}, false},
		{"hard", netlab.SiteOptions{NAT: netlab.NATHard}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := lab.Site(tt.name, tt.o).Host(tt.name)
			c := socket(t, h, 51820)
			mapped := seen(t, c, r)
			send(t, socket(t, stranger, 0), mapped)
			if got := receive(t, c, tt.want) != ""; got != tt.want {
				t.Errorf("unsolicited datagram came in: %t, want %t", got, tt.want)
			}
		})
	}
	t.Run("IPv6", func(t *testing.T) {
		h := lab.Site("v6", netlab.SiteOptions{NAT: netlab.NATEasy, IPv6: true}).Host("v6")
		walled := lab.Site("walled", netlab.SiteOptions{NAT: netlab.NATEasy, IPv6: true, Firewall: true}).Host("walled")
		reach(t, stranger, h.Addr6(), true)
		reach(t, stranger, walled.Addr6(), false)
		reach(t, walled, stranger.Addr6(), true)
	})
	t.Run("no UDP", func(t *testing.T) {
		h := lab.Site("no UDP", netlab.SiteOptions{NAT: netlab.NATEasy, BlockUDP: true}).Host("h")
		c := socket(t, h, 0)
		send(t, c, r.at)
		if got := receive(t, c, false); got != "" {
			t.Errorf("UDP came back from %s", got)
		}
		reach(t, h, stranger.Public(), true)
	})
}

// TestUDPTimeout: the router forgets a flow after the time of silence, not before.
func TestUDPTimeout(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	open := lab.Site("open", netlab.SiteOptions{}).Host("open")
	site := lab.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy, UDPTimeout: 2 * time.Second})
	inside, outside := socket(t, site.Host("h"), 51820), socket(t, open, 0)
	send(t, inside, netip.AddrPortFrom(open.Addr(), port(outside)))
	if receive(t, outside, true) == "" {
		t.Fatal("nothing came out")
	}
	mapped := netip.AddrPortFrom(site.Public(), 51820)
	send(t, outside, mapped)
	if receive(t, inside, true) == "" {
		t.Error("nothing came in while the flow was fresh")
	}
	<-time.After(2500 * time.Millisecond)
	send(t, outside, mapped)
	if receive(t, inside, false) != "" {
		t.Error("a datagram came in after two and a half seconds of silence")
	}
}

func TestRenumberAndForward(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	open := lab.Site("open", netlab.SiteOptions{}).Host("open")
	r := newReflector(t, open)
	site := lab.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy, UDPTimeout: 5 * time.Second})
	h := site.Host("h")
	c := socket(t, h, 51820)
	before := seen(t, c, r)
	if err := site.Renumber(); err != nil {
		t.Fatal(err)
	}
	after := seen(t, c, r)
	if after.Addr() == before.Addr() || after.Addr() != site.Public() {
		t.Errorf("seen as %s, then %s; want the new %s", before, after, site.Public())
	}
	reach(t, open, before.Addr(), false)

	inside := newReflector(t, h)
	if err := site.Forward("udp", 7950, h, inside.at.Port()); err != nil {
		t.Fatal(err)
	}
	out := socket(t, open, 0)
	send(t, out, netip.AddrPortFrom(site.Public(), 7950))
	if receive(t, out, true) == "" {
		t.Error("nothing came back through the forwarded port")
	}
	if err := site.Forward("udp", 1, open, 1); err == nil {
		t.Error("a port was forwarded to a host elsewhere")
	}
	if err := site.Forward("sctp", 1, h, 1); err == nil {
		t.Error("an unknown protocol was forwarded")
	}
	if err := open.Site().Forward("udp", 1, open, 1); err == nil {
		t.Error("a site without a shared address forwards a port")
	}
}
