package overlaytest_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
	"github.com/cbnet-io/cbnet/overlay/overlaytest"
)

func TestFakeConformance(t *testing.T) {
	overlaytest.Conformance(t, func(*testing.T) overlaytest.Device { return &overlaytest.Fake{} })
}

func TestFakeRoaming(t *testing.T) {
	key, err := overlay.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	pub := overlay.Key{1}
	c := overlay.Config{PrivateKey: key, Port: 51820, Peers: []overlay.Peer{{
		PublicKey: pub, Endpoint: netip.MustParseAddrPort("192.0.2.1:1"), Keepalive: time.Second,
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.66.0.2/32")},
	}}}
	var f overlaytest.Fake
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"first", func() {}, "192.0.2.1:1"},
		{"roamed", func() { f.Roam(pub, netip.MustParseAddrPort("192.0.2.7:7")) }, "192.0.2.7:7"},
		{"wanted anew", func() { c.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:2") }, "192.0.2.1:2"},
	} {
		step.do()
		for range 2 {
			if err := f.Set(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.String(); !strings.Contains(got, " endpoint "+step.want+" allowed-ips 10.66.0.2/32 keepalive 1s\n") {
			t.Errorf("%s: want endpoint %s:\n%s", step.name, step.want, got)
		}
	}
	if calls, changes := f.Sets(); calls != 6 || changes != 2 {
		t.Errorf("%d calls, %d changes; want 6 and 2", calls, changes)
	}
}

func TestFakeFails(t *testing.T) {
	key, err := overlay.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var f overlaytest.Fake
	want := errors.New("disk on fire")
	f.Fail(want)
	if err := f.Set(t.Context(), overlay.Config{PrivateKey: key}); !errors.Is(err, want) {
		t.Errorf("Set: %v", err)
	}
	if f.Handshake(overlay.Key{9}, time.Now()) || f.Traffic(overlay.Key{9}, 1, 1) {
		t.Error("a stranger's packet was taken")
	}
}
