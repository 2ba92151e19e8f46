package overlay_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/overlay"
)

// Public keys by letter: base64 of a key of equal bytes starts with a pattern
// that is easy to tell apart, printed in 8 characters.
var (
	keyA  = pub(0x00, 1) // AQAAAAAA
	keyB  = pub(0x04, 0) // BAQEBAQE
	keyC  = pub(0x08, 0) // CAgICAgI
	spare = pub(0xff, 0) // ////////
	priv  = private(7)
)

func pub(fill, first byte) overlay.Key {
	var k overlay.Key
	for i := range k {
		k[i] = fill
	}
	if first != 0 {
		k[0] = first
	}
	return k
}

// private returns a key in the form that devices report, clamped.
func private(n byte) overlay.Key {
	k := overlay.Key{8 * n}
	k[31] = 64
	return k
}

func ep(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestDiff(t *testing.T) {
	full := overlay.Config{
		PrivateKey: priv, Port: 51820, MTU: 1400,
		Addresses: prefixes("10.66.0.1/32", "fd66::1/128"), Routes: prefixes("10.66.0.0/16", "fd66::/64"),
		Peers: []overlay.Peer{
			{PublicKey: keyA, Endpoint: ep("192.0.2.1:1"), AllowedIPs: prefixes("10.66.0.2/32", "fd66::2/128"), Keepalive: 25 * time.Second},
			{PublicKey: keyB, AllowedIPs: prefixes("10.66.0.3/32", "192.168.0.0/24")},
		},
	}
	done := overlay.Actual{
		Key: priv, Port: 51820, MTU: 1400, Up: true, Addresses: full.Addresses, Routes: full.Routes,
		Peers: map[overlay.Key]overlay.ActualPeer{
			keyA: {Endpoint: ep("192.0.2.1:1"), AllowedIPs: prefixes("fd66::2/128", "10.66.0.2/32"), Keepalive: 25 * time.Second},
			keyB: {AllowedIPs: prefixes("192.168.0.0/24", "10.66.0.3/32")},
		},
	}
	tests := []struct {
		name string
		want overlay.Config
		have overlay.Actual
		diff []string
	}{
		{"nothing to do", full, done, []string{}},
		{"from nothing", full, overlay.Actual{MTU: 1280}, []string{
			"private-key (hidden) listen-port 51820",
			"peer AQAAAAAA create endpoint 192.0.2.1:1 keepalive 25s +10.66.0.2/32 +fd66::2/128",
			"peer BAQEBAQE create +10.66.0.3/32 +192.168.0.0/24",
			"mtu 1400",
			"addr add 10.66.0.1/32", "addr add fd66::1/128",
			"up",
			"route add 10.66.0.0/16", "route add fd66::/64",
		}},
		{"to bare", overlay.Config{PrivateKey: priv}, done, []string{
			"route del 10.66.0.0/16", "route del fd66::/64",
			"peer AQAAAAAA remove", "peer BAQEBAQE remove",
			"mtu 1280",
			"addr del 10.66.0.1/32", "addr del fd66::1/128",
		}},
		{"host without IPv6", full, with(done, func(a *overlay.Actual) {
			a.NoIPv6, a.Up, a.Addresses, a.Routes = true, false, nil, nil
		}), []string{"addr add 10.66.0.1/32", "up", "route add 10.66.0.0/16"}},
		{"others' routes stay, and serve", full, with(done, func(a *overlay.Actual) {
			a.Routes, a.Foreign = prefixes("fd66::/64"), prefixes("10.66.0.0/16", "172.16.0.0/12")
		}), []string{}},
		{"somebody took the link down", full, with(done, func(a *overlay.Actual) {
			a.Up, a.Routes, a.Addresses = false, nil, prefixes("10.66.0.1/32")
		}), []string{"addr add fd66::1/128", "up", "route add 10.66.0.0/16", "route add fd66::/64"}},
		{"keepalive off", withPeer(full, 0, func(p *overlay.Peer) { p.Keepalive = 0 }), done,
			[]string{"peer AQAAAAAA keepalive 0s"}},
		{"prefix moves to a peer", withPeer(withPeer(full, 1, func(p *overlay.Peer) { p.AllowedIPs = prefixes("10.66.0.3/32") }),
			0, func(p *overlay.Peer) { p.AllowedIPs = append(p.AllowedIPs, prefixes("192.168.0.0/24")...) }), done,
			[]string{"peer AQAAAAAA +192.168.0.0/24"}},
		{"prefix is taken away", withPeer(full, 1, func(p *overlay.Peer) { p.AllowedIPs = prefixes("10.66.0.3/32") }), done,
			[]string{"peer //////// create +192.168.0.0/24", "peer //////// remove"}},
		{"another key", with(full, func(c *overlay.Config) { c.PrivateKey = private(9) }), done, []string{"private-key (hidden)"}},
		{"any port will do", with(full, func(c *overlay.Config) { c.Port = 0 }), done, []string{}},
		{"any port but the last, which was taken", with(full, func(c *overlay.Config) { c.Port = 0 }), with(done, func(a *overlay.Actual) { a.Up = false }),
			[]string{"listen-port 0", "up"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := overlay.Diff(tt.want, &full, tt.have, spare)
			if d := cmp.Diff(tt.diff, got); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
		})
	}
}

func TestDiffEndpoint(t *testing.T) {
	tests := []struct {
		name             string
		prev, have, want string // "-": no such peer; "": no endpoint
		fresh            bool
		apply            bool
	}{
		{"new peer", "-", "-", "192.0.2.1:1", false, true},
		{"same everywhere", "192.0.2.1:1", "192.0.2.1:1", "192.0.2.1:1", true, false},
		{"roamed, wanted as before", "192.0.2.1:1", "198.51.100.7:7", "192.0.2.1:1", true, false},
		{"roamed long ago, wanted as before", "192.0.2.1:1", "198.51.100.7:7", "192.0.2.1:1", false, false},
		{"roamed, wanted anew", "192.0.2.1:1", "198.51.100.7:7", "192.0.2.2:2", true, true},
		{"roamed to what is now wanted", "192.0.2.1:1", "192.0.2.2:2", "192.0.2.2:2", true, false},
		{"nothing wanted", "192.0.2.1:1", "198.51.100.7:7", "", true, false},
		{"wanted after nothing", "", "198.51.100.7:7", "192.0.2.1:1", true, true},
		{"mapped is the same", "192.0.2.1:1", "198.51.100.7:7", "[::ffff:192.0.2.1]:1", true, false},
		{"adopted with a live session", "-", "198.51.100.7:7", "192.0.2.1:1", true, false},
		{"adopted, session dead", "-", "198.51.100.7:7", "192.0.2.1:1", false, true},
		{"adopted without an endpoint", "-", "", "192.0.2.1:1", false, true},
		{"peer came back after removal", "192.0.2.1:1", "-", "192.0.2.1:1", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parse := func(s string) (e netip.AddrPort) {
				if s != "" && s != "-" {
					e = ep(s)
				}
				return e
			}
			c := overlay.Config{PrivateKey: priv, MTU: 1280, Peers: []overlay.Peer{{PublicKey: keyA, Endpoint: parse(tt.want)}}}
			var prev overlay.Config
			if tt.prev != "-" {
				prev.Peers = []overlay.Peer{{PublicKey: keyA, Endpoint: parse(tt.prev)}}
			}
			have := overlay.Actual{Key: priv, MTU: 1280, Up: true, Peers: map[overlay.Key]overlay.ActualPeer{}}
			want := []string{}
			switch {
			case tt.have == "-":
				want = []string{"peer AQAAAAAA create endpoint " + tt.want}
			case tt.apply:
				want = []string{"peer AQAAAAAA endpoint " + tt.want}
			}
			if tt.have != "-" {
				have.Peers[keyA] = overlay.ActualPeer{Endpoint: parse(tt.have), Fresh: tt.fresh}
			}
			if d := cmp.Diff(want, overlay.Diff(c, &prev, have, spare)); d != "" {
				t.Errorf("changes (-want +got):\n%s", d)
			}
		})
	}
}

// TestDiffNeverMisleads plays random changes of allowed IPs step by step: each
// address leads to its old peer, to its new one or to nobody at every moment,
// and to the new one in the end.
func TestDiffNeverMisleads(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := []overlay.Key{keyA, keyB, keyC, pub(0x0c, 0), pub(0x10, 0)}
	for round := range 3000 {
		have, want := randomPeers(rng, keys), randomPeers(rng, keys)
		state := table(have)
		old, final := maps.Clone(state), table(want)
		peers := make(map[overlay.Key]overlay.ActualPeer)
		for _, p := range have {
			peers[p.PublicKey] = overlay.ActualPeer{AllowedIPs: p.AllowedIPs}
		}
		for _, s := range overlay.PeerSteps(want, peers, spare) {
			if s.Prefix.IsValid() {
				state[s.Prefix] = s.Peer
				checkTable(t, round, state, old, final)
				continue
			}
			for _, p := range prefixesInRandomOrder(state) {
				if state[p] == s.Peer {
					delete(state, p)
					checkTable(t, round, state, old, final)
				}
			}
		}
		if d := cmp.Diff(final, state); d != "" {
			t.Fatalf("round %d: end (-want +got):\n%s", round, d)
		}
	}
}

// randomPeers shares prefixes of 8 addresses, nested in all ways, among keys.
func randomPeers(rng *rand.Rand, keys []overlay.Key) []overlay.Peer {
	peers := make([]overlay.Peer, len(keys))
	for i, k := range keys {
		peers[i].PublicKey = k
	}
	for bits := 29; bits <= 32; bits++ {
		for host := byte(0); host < 8; host += 1 << (32 - bits) {
			if i := rng.IntN(2 * len(keys)); i < len(keys) {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), bits)
				peers[i].AllowedIPs = append(peers[i].AllowedIPs, p)
			}
		}
	}
	rng.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	return peers[:1+rng.IntN(len(peers))]
}

func table(ps []overlay.Peer) map[netip.Prefix]overlay.Key {
	m := make(map[netip.Prefix]overlay.Key)
	for _, p := range ps {
		for _, a := range p.AllowedIPs {
			m[a] = p.PublicKey
		}
	}
	return m
}

func prefixesInRandomOrder(m map[netip.Prefix]overlay.Key) (out []netip.Prefix) {
	for p := range m { // Go's order is random on purpose
		out = append(out, p)
	}
	return out
}

func checkTable(t *testing.T, round int, now, old, final map[netip.Prefix]overlay.Key) {
	t.Helper()
	for host := range byte(8) {
		a := netip.AddrFrom4([4]byte{10, 0, 0, host})
		got, _ := lookup(now, a)
		before, by := lookup(old, a)
		after, then := lookup(final, a)
		if before == after && by == then && got != before {
			t.Fatalf("round %d: %s leads to %s, but it is %s's by %s before and after", round, a, got, before, by)
		}
		if got != before && got != after && got != spare && !got.IsZero() {
			t.Fatalf("round %d: %s leads to %s, neither its old peer %s nor its new one %s", round, a, got, before, after)
		}
	}
}

func lookup(m map[netip.Prefix]overlay.Key, a netip.Addr) (overlay.Key, netip.Prefix) {
	for bits := 32; bits >= 29; bits-- {
		p := netip.PrefixFrom(a, bits).Masked()
		if k, ok := m[p]; ok {
			return k, p
		}
	}
	return overlay.Key{}, netip.Prefix{}
}

func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func withPeer(c overlay.Config, i int, change func(*overlay.Peer)) overlay.Config {
	c.Peers = append([]overlay.Peer(nil), c.Peers...)
	c.Peers[i].AllowedIPs = append([]netip.Prefix(nil), c.Peers[i].AllowedIPs...)
	change(&c.Peers[i])
	return c
}
