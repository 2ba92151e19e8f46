package netlab_test

import (
	"context"
	"net/netip"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/test/netlab"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		os.Exit(m.Run()) // ends by a signal
	}
	goleak.VerifyTestMain(m)
}

// reach pings from a host and fails unless exactly the wanted answer comes.
func reach(t *testing.T, from *netlab.Host, to netip.Addr, want bool) time.Duration {
	t.Helper()
	limit := 10 * time.Second
	if !want {
		limit = 300 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	r, err := from.Ping(ctx, []netip.Addr{to})
	if err != nil {
		t.Fatal(err)
	}
	if r[0].OK != want {
		t.Errorf("from %s to %s: answer %t, want %t (%v)", from.Name, to, r[0].OK, want, r[0].Err)
	}
	return r[0].RTT
}

func TestReach(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	open := lab.Site("open", netlab.SiteOptions{IPv6: true})
	cloud := lab.Site("cloud", netlab.SiteOptions{NAT: netlab.NATOneToOne, IPv6: true})
	home := lab.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy})
	office := lab.Site("office", netlab.SiteOptions{NAT: netlab.NATHard, Private: home.Prefix()})
	a, b := open.Host("a"), open.Host("b")
	c, d := cloud.Host("c"), cloud.Host("d")
	e, f := home.Host("e"), home.Host("f")
	g := office.Host("g")
	tests := []struct {
		name string
		from *netlab.Host
		to   netip.Addr
		want bool
	}{
		{"LAN of public hosts", a, b.Addr(), true},
		{"LAN, IPv6", a, b.Addr6(), true},
		{"1:1 from outside", a, c.Public(), true},
		{"1:1 from inside", c, a.Public(), true},
		{"1:1 neighbour, public address", c, d.Public(), true},
		{"1:1 neighbour, private address", c, d.Addr(), true},
		{"private address from outside", a, c.Addr(), false},
		{"IPv6 between sites", a, c.Addr6(), true},
		{"LAN behind NAT", e, f.Addr(), true},
		{"out of easy NAT", e, a.Public(), true},
		{"out of hard NAT", g, c.Public(), true},
		{"router of easy NAT", a, e.Public(), true},
		{"unknown address", a, netip.MustParseAddr("198.18.77.1"), false},
		{"no IPv6 here", e, a.Addr6(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { reach(t, tt.from, tt.to, tt.want) })
	}
	if got := lab.Internet.Counters(); got.Packets == 0 || got.Unroutable == 0 {
		t.Errorf("counters %+v: want packets and unroutable ones", got)
	}
}

func TestDrops(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	s := lab.Site("s", netlab.SiteOptions{IPv6: true})
	a, b := s.Host("a"), s.Host("b")
	set := func(drops ...netlab.Drop) {
		t.Helper()
		if err := a.SetDrops(drops...); err != nil {
			t.Fatal(err)
		}
	}
	set(netlab.DropAddr(b.Addr()), netlab.BlackholeUDP(51820), netlab.Drop{Protocol: "tcp", Port: 1, RemotePort: 2, InOnly: true})
	reach(t, a, b.Addr(), false)
	reach(t, a, b.Addr6(), true)
	set(netlab.Drop{Protocol: "icmp", OutOnly: true})
	reach(t, a, b.Addr6(), false)
	set()
	reach(t, a, b.Addr(), true)
}
