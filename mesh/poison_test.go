package mesh_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/overlay"
)

// keyOf returns the WireGuard key under which a node has another one.
func keyOf(n, of *node) overlay.Key {
	for _, p := range n.host.Config().Peers {
		if p.AllowedIPs[0].Addr() == of.mesh.Grant().IP {
			return p.PublicKey
		}
	}
	return overlay.Key{}
}

// TestPoisonousEndpoints: the device refuses its whole configuration if one
// endpoint is bad. Nothing that a member says or does may bring that about.
func TestPoisonousEndpoints(t *testing.T) {
	inside := netip.MustParseAddrPort("10.66.0.4:51820")
	outside := netip.MustParseAddrPort("203.0.113.66:51820")
	record := func(e netip.AddrPort) func(*testing.T, *node, *node) {
		return func(t *testing.T, honest, liar *node) {
			push(t, liar, honest, mesh.Request{Records: [][]byte{sign(t, liar.cfg.Bundle, identity.Record{
				Version: uint64(time.Now().UnixMilli()) + 1000, WireGuardKey: identity.Bytes32(keyOf(honest, liar)),
				Endpoints: []identity.Endpoint{{Addr: e, Kind: identity.KindPublic}},
			})}})
			pause(5 * time.Second)
		}
	}
	tests := []struct {
		name   string
		poison func(t *testing.T, honest, liar *node)
		log    string
	}{
		{"record names an address inside the overlay", record(inside), ""},
		{"and as IPv4 in IPv6", record(netip.MustParseAddrPort("[::ffff:10.66.0.4]:51820")), ""},
		{"record names what only the device knows to be bad", func(t *testing.T, honest, liar *node) {
			honest.host.Refuse(outside)
			record(outside)(t, honest, liar)
		}, `msg="endpoint refused" peer=node-3`},
		{"calls through the tunnel", func(_ *testing.T, honest, liar *node) {
			for range 10 { // its own packets move it back
				honest.host.Roam(keyOf(honest, liar), inside)
				pause(250 * time.Millisecond)
			}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLab(t)
				intro, honest, liar := l.introducer().start(), l.add(2).start(), l.add(3).start()
				eventually(t, 5*time.Second, "all up", func() bool { return allUp(intro, honest, liar) })
				tt.poison(t, honest, liar)
				liar.crash() // its addresses are tried in turn now
				pause(20 * time.Second)
				late := l.add(5).start()
				eventually(t, 5*time.Second, "a newcomer is set", func() bool { return allUp(intro, honest, late) })
				if got := honest.log.String(); !strings.Contains(got, tt.log) || strings.Contains(got, "device not set") {
					t.Errorf("want %q in the log, and the device set:\n%s", tt.log, got)
				}
				// What was learned does not keep the node from starting again.
				honest.stop()
				if b, err := os.ReadFile(filepath.Join(honest.cfg.StateDir, "peers.json")); err != nil || strings.Contains(string(b), inside.String()) {
					t.Errorf("peers.json names %s, or %v", inside, err)
				}
				honest.start()
				eventually(t, 5*time.Second, "up again", func() bool { return allUp(intro, honest, late) })
				for _, n := range []*node{intro, honest, late} {
					n.stop()
				}
			})
		})
	}
}
