package sim_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
	"github.com/cbnet-io/cbnet/test/sim"
)

// devices changes what honest nodes set their devices to.
func devices(change func(n *sim.Node, c *overlay.Config)) func(*sim.Node, []protocol.Action) []protocol.Action {
	return func(n *sim.Node, as []protocol.Action) []protocol.Action {
		for i, a := range as {
			if s, ok := a.(protocol.SetDevice); ok {
				s.Config.Peers = slices.Clone(s.Config.Peers)
				change(n, &s.Config)
				as[i] = s
			}
		}
		return as
	}
}

// TestEachInvariantCanFail breaks honest nodes on purpose.
func TestEachInvariantCanFail(t *testing.T) {
	tests := []struct {
		name string
		opt  sim.Options
		want string
	}{
		{"a route that nobody granted", sim.Options{Calm: true, Do: devices(func(_ *sim.Node, c *overlay.Config) {
			c.Routes = append(slices.Clone(c.Routes), netip.MustParsePrefix("0.0.0.0/0"))
		})}, sim.I1},
		{"a peer that nobody signed", sim.Options{Calm: true, Do: devices(func(_ *sim.Node, c *overlay.Config) {
			a := netip.MustParsePrefix("10.66.9.9/32")
			b := netip.MustParsePrefix("fd00:66::9/128")
			c.Peers = append(c.Peers, overlay.Peer{PublicKey: overlay.Key{9, 9}, AllowedIPs: []netip.Prefix{a, b}})
		})}, sim.I1},
		{"two owners", sim.Options{Calm: true, Do: devices(func(_ *sim.Node, c *overlay.Config) {
			if len(c.Peers) > 1 {
				c.Peers[1].AllowedIPs = c.Peers[0].AllowedIPs
			}
		})}, sim.I3},
		{"whoever is silent is removed", sim.Options{Do: devices(func(n *sim.Node, c *overlay.Config) {
			c.Peers = slices.DeleteFunc(c.Peers, func(p overlay.Peer) bool { return n.Lost(p.AllowedIPs[0].Addr()) })
		})}, sim.I4},
		{"deaf to answers", sim.Options{Calm: true, Hear: func(n *sim.Node, e protocol.Event) (protocol.Event, bool) {
			x, ok := e.(protocol.EchoReceived)
			return e, !ok || x.Echo.Kind != protocol.EchoAnswer || n.Name() != "n02"
		}}, sim.I2},
		{"deaf to revocations", sim.Options{Hear: func(n *sim.Node, e protocol.Event) (protocol.Event, bool) {
			switch x := e.(type) {
			case protocol.Fetched:
				x.Reply.Revocations = nil
				return x, true
			case protocol.Introduced:
				x.Reply.Revocations = nil
				return x, true
			case protocol.RequestReceived:
				x.Request.Revocations = nil
				return x, true
			case protocol.JoinerReceived:
				x.Request.Revocations = nil
				return x, true
			}
			return e, true
		}}, sim.Revoked},
		{"a restart without peers on disk fails", sim.Options{Hear: func(n *sim.Node, e protocol.Event) (protocol.Event, bool) {
			x, ok := e.(protocol.Start)
			return e, !ok || n.Boots() == 1 || len(x.Saved.Peers) > 0
		}}, sim.I6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(8) {
				tt.opt.Seed, tt.opt.Nodes = 100+seed, 12
				r, err := sim.Run(tt.opt)
				if err != nil {
					t.Fatal(err)
				}
				if r.Broken == nil {
					continue
				}
				if r.Broken.Invariant != tt.want {
					t.Fatalf("got %s, want %s", r.Broken, tt.want)
				}
				t.Logf("seed %d: %s", 100+seed, r.Broken)
				return
			}
			t.Errorf("%s holds though it is broken", tt.want)
		})
	}
}
