package netlab_test

import (
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/netlab"
)

func TestChangesOfPlace(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	s1 := lab.Site("s1", netlab.SiteOptions{IPv6: true})
	s2 := lab.Site("s2", netlab.SiteOptions{NAT: netlab.NATOneToOne, IPv6: true})
	s3 := lab.Site("s3", netlab.SiteOptions{NAT: netlab.NATEasy})
	a, b, peer := s1.Host("a"), s2.Host("b"), s1.Host("peer")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("other address", func(t *testing.T) {
		for _, h := range []*netlab.Host{a, b} {
			old, old6 := h.Public(), h.Addr6()
			must(h.Readdress())
			if h.Public() == old || h.Addr6() == old6 {
				t.Errorf("%s still has %s or %s", h.Name, old, old6)
			}
			reach(t, peer, h.Public(), true)
			reach(t, peer, h.Addr6(), true)
			reach(t, h, peer.Addr(), true)
			reach(t, peer, old, false)
		}
	})
	t.Run("link", func(t *testing.T) {
		must(a.Down())
		reach(t, peer, a.Addr(), false)
		must(peer.Readdress()) // a must learn of it when it is up again
		must(a.Up())
		reach(t, peer, a.Addr(), true)
		reach(t, a, peer.Addr6(), true)
		reach(t, a, b.Public(), true)
	})
	t.Run("other site", func(t *testing.T) {
		old := a.Public()
		must(a.Move(s2))
		if a.Site() != s2 || !s2.Prefix().Contains(a.Addr()) || !s2.Prefix6().Contains(a.Addr6()) {
			t.Errorf("host has %s and %s, want of %s and %s", a.Addr(), a.Addr6(), s2.Prefix(), s2.Prefix6())
		}
		reach(t, peer, a.Public(), true)
		reach(t, a, b.Addr(), true)
		reach(t, peer, a.Addr6(), true)
		reach(t, peer, old, false)
		must(a.Move(s3))
		reach(t, a, peer.Public(), true)
		if a.Public() != s3.Public() || a.Addr6().IsValid() {
			t.Errorf("host is seen as %s and has %s, want the site's %s and none", a.Public(), a.Addr6(), s3.Public())
		}
		must(a.Move(s1))
		reach(t, b, a.Public(), true)
		must(b.Down())
		for _, want := range []string{"site s2: NAT one-to-one, 192.168.2.0/24\n", "site s3: NAT easy, 192.168.3.0/24 behind " + s3.Public().String(),
			"host b: " + b.Addr().String() + ", seen as " + b.Public().String() + ", " + b.Addr6().String() + ", link down\n"} {
			if !strings.Contains(lab.String(), want) {
				t.Errorf("no %q in\n%s", want, lab)
			}
		}
		if got := len(s1.Hosts()) + len(s2.Hosts()) + len(s3.Hosts()); got != len(lab.Hosts()) {
			t.Errorf("%d hosts at the sites, want %d", got, len(lab.Hosts()))
		}
	})
}
