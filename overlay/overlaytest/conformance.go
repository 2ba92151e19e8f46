package overlaytest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/overlay"
)

// Conformance checks the contract of a device on fresh ones from open. Those
// are used one at a time and closed at the end of each subtest.
func Conformance(t *testing.T, open func(*testing.T) Device) {
	cases := []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"bad config changes nothing", testBadConfig},
		{"peers come and go", testPeers},
		{"equal config is no change", testRepeat},
		{"endpoint is applied when it changed", testEndpoint},
		{"allowed ip moves between peers", testMove},
		{"allowed ip is taken away", testTakeAway},
		{"all in one step", testMixed},
		{"end of context", testContext},
		{"concurrent use", testConcurrent},
		{"closed", testClosed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{t: t, dev: open(t)}
			t.Cleanup(func() { b.dev.Close() })
			b.base = overlay.Config{
				PrivateKey: newKey(t),
				Addresses:  prefixes("10.66.0.1/32", "fd66::1/128"),
				Routes:     prefixes("10.66.0.0/16", "fd66::/64"),
			}
			c.test(t, b)
		})
	}
}

// bench is a device under test and a config without peers for it.
type bench struct {
	t    *testing.T
	dev  Device
	base overlay.Config
}

func (b *bench) set(peers ...overlay.Peer) {
	b.t.Helper()
	c := b.base
	c.Peers = peers
	if err := b.dev.Set(b.t.Context(), c); err != nil {
		b.t.Fatalf("Set: %v", err)
	}
}

// state is what Peers says of one peer, in comparable form.
type state struct {
	Endpoint   string
	AllowedIPs []string
}

func (b *bench) check(want map[overlay.Key]state) {
	b.t.Helper()
	ps, err := b.dev.Peers()
	if err != nil {
		b.t.Fatalf("Peers: %v", err)
	}
	got := make(map[overlay.Key]state)
	for _, p := range ps {
		s := state{AllowedIPs: sorted(p.AllowedIPs)}
		if p.Endpoint.IsValid() {
			s.Endpoint = p.Endpoint.String()
		}
		got[p.PublicKey] = s
	}
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("peers (-want +got):\n%s", d)
	}
}

func testBadConfig(t *testing.T, b *bench) {
	k := newKey(t).Public()
	b.set(peer(k, "192.0.2.1:1", "10.66.0.2/32"))
	bad := b.base
	bad.Port, bad.MTU = 70000, 5
	bad.Peers = []overlay.Peer{
		peer(newKey(t).Public(), "", "10.66.0.9/32"),
		peer(newKey(t).Public(), "", "10.66.0.9/32"),
		peer(b.base.PrivateKey.Public(), "", "10.66.0.8/31"),
	}
	if err := b.dev.Set(t.Context(), bad); err == nil {
		t.Error("Set took a bad config")
	}
	looped := b.base
	looped.Peers = []overlay.Peer{peer(k, "10.66.0.5:51820", "10.66.0.2/32")}
	var route *overlay.RouteError
	if err := b.dev.Set(t.Context(), looped); !errors.As(err, &route) || route.Peer != k {
		t.Errorf("Set with an endpoint inside a route: %v, want a RouteError for peer %s", err, k)
	}
	b.check(map[overlay.Key]state{k: {"192.0.2.1:1", []string{"10.66.0.2/32"}}})
}

func testPeers(t *testing.T, b *bench) {
	one, two := newKey(t).Public(), newKey(t).Public()
	b.set(peer(one, "192.0.2.1:1", "10.66.0.2/32", "fd66::2/128"), peer(two, "", "10.66.0.3/32"))
	b.check(map[overlay.Key]state{
		one: {"192.0.2.1:1", []string{"10.66.0.2/32", "fd66::2/128"}},
		two: {"", []string{"10.66.0.3/32"}},
	})
	b.set(peer(two, "[2001:db8::1]:2"))
	b.check(map[overlay.Key]state{two: {"[2001:db8::1]:2", []string{}}})
	b.set()
	b.check(map[overlay.Key]state{})
}

func testRepeat(t *testing.T, b *bench) {
	one := newKey(t).Public()
	for range 3 {
		b.set(peer(one, "192.0.2.1:1", "10.66.0.2/32"))
		b.check(map[overlay.Key]state{one: {"192.0.2.1:1", []string{"10.66.0.2/32"}}})
	}
}

func testEndpoint(t *testing.T, b *bench) {
	one := newKey(t).Public()
	steps := []struct{ set, want string }{
		{"", ""},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"", "192.0.2.1:1"},
		{"192.0.2.1:2", "192.0.2.1:2"},
		{"[::ffff:192.0.2.1]:3", "192.0.2.1:3"},
		{"192.0.2.1:3", "192.0.2.1:3"},
	}
	for _, s := range steps {
		b.set(peer(one, s.set, "10.66.0.2/32"))
		b.check(map[overlay.Key]state{one: {s.want, []string{"10.66.0.2/32"}}})
	}
}

func testMove(t *testing.T, b *bench) {
	one, two := newKey(t).Public(), newKey(t).Public()
	b.set(peer(one, "", "10.66.0.2/32", "192.168.10.0/24"), peer(two, "", "10.66.0.3/32"))
	b.set(peer(one, "", "10.66.0.2/32"), peer(two, "", "10.66.0.3/32", "192.168.10.0/24"))
	b.check(map[overlay.Key]state{one: {"", []string{"10.66.0.2/32"}}, two: {"", []string{"10.66.0.3/32", "192.168.10.0/24"}}})
	// The owner goes and a new peer takes what it had.
	three := newKey(t).Public()
	b.set(peer(one, "", "10.66.0.2/32"), peer(three, "", "10.66.0.3/32", "192.168.10.0/24"))
	b.check(map[overlay.Key]state{one: {"", []string{"10.66.0.2/32"}}, three: {"", []string{"10.66.0.3/32", "192.168.10.0/24"}}})
}

func testTakeAway(t *testing.T, b *bench) {
	one := newKey(t).Public()
	b.set(peer(one, "192.0.2.1:1", "10.66.0.2/32", "192.168.10.0/24", "fd66::2/128"))
	b.set(peer(one, "192.0.2.1:1", "10.66.0.2/32", "fd66::2/128"))
	b.check(map[overlay.Key]state{one: {"192.0.2.1:1", []string{"10.66.0.2/32", "fd66::2/128"}}})
	b.set(peer(one, "192.0.2.1:1"))
	b.check(map[overlay.Key]state{one: {"192.0.2.1:1", []string{}}})
}

func testMixed(t *testing.T, b *bench) {
	var k [5]overlay.Key
	for i := range k {
		k[i] = newKey(t).Public()
	}
	b.set(
		peer(k[0], "192.0.2.1:1", "10.0.0.0/8", "10.66.0.2/32"),
		peer(k[1], "192.0.2.1:2", "10.1.0.0/16"),
		peer(k[2], "", "10.1.1.0/24"),
	)
	b.set(
		peer(k[4], "192.0.2.1:5", "10.1.1.0/24"),
		peer(k[0], "192.0.2.1:9", "10.66.0.2/32"),
		peer(k[3], "", "10.0.0.0/8", "::/0"),
	)
	b.check(map[overlay.Key]state{
		k[0]: {"192.0.2.1:9", []string{"10.66.0.2/32"}},
		k[3]: {"", []string{"10.0.0.0/8", "::/0"}},
		k[4]: {"192.0.2.1:5", []string{"10.1.1.0/24"}},
	})
}

func testContext(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.dev.Set(ctx, b.base); !errors.Is(err, context.Canceled) {
		t.Errorf("Set with an ended context: %v", err)
	}
	b.set()
}

func testConcurrent(t *testing.T, b *bench) {
	one, two := newKey(t).Public(), newKey(t).Public()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 5 {
				c := b.base
				c.Peers = []overlay.Peer{peer(one, "192.0.2.1:1", "10.66.0.2/32"), peer(two, "", "10.66.0.3/32")}
				if i%2 == 0 {
					slices.Reverse(c.Peers)
				}
				if err := b.dev.Set(t.Context(), c); err != nil {
					t.Errorf("Set: %v", err)
				}
				if _, err := b.dev.Peers(); err != nil {
					t.Errorf("Peers: %v", err)
				}
			}
		})
	}
	wg.Wait()
	b.check(map[overlay.Key]state{one: {"192.0.2.1:1", []string{"10.66.0.2/32"}}, two: {"", []string{"10.66.0.3/32"}}})
}

func testClosed(t *testing.T, b *bench) {
	b.set()
	for range 2 {
		if err := b.dev.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := b.dev.Set(t.Context(), b.base); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
	if _, err := b.dev.Peers(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Peers after Close: %v", err)
	}
}

func peer(k overlay.Key, endpoint string, allowed ...string) overlay.Peer {
	p := overlay.Peer{PublicKey: k, AllowedIPs: prefixes(allowed...), Keepalive: 25 * time.Second}
	if endpoint != "" {
		p.Endpoint = netip.MustParseAddrPort(endpoint)
	}
	return p
}

func prefixes(ss ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func newKey(t *testing.T) overlay.Key {
	t.Helper()
	k, err := overlay.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}
