package mesh_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
)

func TestJoinThroughIntroducer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		nodes := []*node{l.introducer().start()}
		<-nodes[0].mesh.Ready()
		for i := 2; i <= 6; i++ {
			nodes = append(nodes, l.add(i).start())
		}
		took := eventually(t, 5*time.Second, "all pairs up", func() bool { return allUp(nodes...) })
		t.Logf("6 nodes, all pairs up after %s (simulated)", took)
		for _, n := range nodes {
			select {
			case <-n.mesh.Ready():
			default:
				t.Errorf("%s is not ready", n.name)
			}
			if p := n.peer("node-1"); n != nodes[0] && (p.Path != mesh.PathPublic || p.LastHandshake.IsZero()) {
				t.Errorf("%s: path to node-1: got %q, handshake %s; want public", n.name, p.Path, p.LastHandshake)
			}
		}
		pause(30 * time.Second)
		sets := nodes[2].host.Sets()
		quiet := len(nodes[2].log.String())
		steady := 75 * time.Second // two push/pulls and more
		if testing.Short() {
			steady = 10 * time.Second
		}
		pause(steady)
		if got := nodes[2].host.Sets(); got != sets {
			t.Errorf("a steady mesh set the device %d times", got-sets)
		}
		if got := nodes[2].log.String(); len(got) != quiet {
			t.Errorf("a steady mesh logged:\n%s", got[quiet:])
		}
		if !allUp(nodes...) {
			t.Error("not all up after some time")
		}
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestRestartWithoutIntroducer(t *testing.T) {
	tests := []struct {
		name string
		stop func(*node)
	}{
		{"SIGTERM", (*node).stop},
		{"kill -9", (*node).crash},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLab(t)
				intro := l.introducer().start()
				nodes := []*node{l.add(2).start(), l.add(3).start(), l.add(4).start()}
				eventually(t, 5*time.Second, "all up", func() bool { return allUp(append(nodes, intro)...) })
				pause(5 * time.Second) // saved
				intro.stop()
				a := nodes[0]
				tt.stop(a)
				pause(20 * time.Second)
				want := mesh.StateAway
				if tt.name == "kill -9" {
					want = mesh.StateUnreachable
				}
				if got := nodes[1].peer(a.name); got.State != want || got.Reason == "" {
					t.Errorf("state of the stopped node: got %s (%s), want %s", got.State, got.Reason, want)
				}
				a.host.Boot()
				a.start()
				took := eventually(t, 2*time.Second, "reachable from all again", func() bool { return allUp(nodes...) })
				t.Logf("%s: reachable again after %s (simulated)", tt.name, took)
				eventually(t, time.Second, "ready", func() bool {
					select {
					case <-a.mesh.Ready():
						return true
					default:
						return false
					}
				})
				if got := nodes[1].peer("node-1").State; got != mesh.StateAway {
					t.Errorf("introducer: got %s, want away", got)
				}
				for _, n := range nodes {
					n.stop()
				}
			})
		})
	}
}

func TestAllStopAndStartAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		nodes := []*node{l.add(2).start(), l.add(3).start(), l.add(4).start()}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(append(nodes, intro)...) })
		intro.stop()
		for _, n := range nodes {
			n.cancel() // all at once: each may hear that the others stop
		}
		for _, n := range nodes {
			<-n.done
			n.start()
		}
		took := eventually(t, 3*time.Second, "all up without introducer", func() bool { return allUp(nodes...) })
		t.Logf("up again after %s (simulated)", took)
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestLeave(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		nodes := []*node{l.introducer().start(), l.add(2).start(), l.add(3).start()}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(nodes...) })
		gone := nodes[2]
		if err := gone.mesh.Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := <-gone.done; err != nil {
			t.Errorf("Run after Leave: %v", err)
		}
		eventually(t, 2*time.Second, "the others have removed it", func() bool {
			return len(nodes[0].host.Config().Peers) == 1 && len(nodes[1].host.Config().Peers) == 1
		})
		if got := nodes[1].log.String(); !strings.Contains(got, `msg="peer left" peer=node-3`) {
			t.Errorf("log does not say who left:\n%s", got)
		}
		// It comes back through an introducer.
		gone.start()
		eventually(t, 5*time.Second, "back", func() bool { return allUp(nodes...) })
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestRevokeSpreads(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		nodes := []*node{l.introducer().start(), l.add(2).start(), l.add(3).start(), l.add(4).start()}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(nodes...) })
		bad, rest := nodes[3], nodes[:3]
		off := rest[2]
		off.stop() // it hears of the revocation only when it is back
		list, err := l.ca.SignRevocations(identity.RevocationList{Number: 1, Issued: time.Now(), Entries: []identity.Revoked{
			{Node: bad.name, Serial: identity.SerialOf(bad.cfg.Bundle.Certificate), Expires: bad.cfg.Bundle.Certificate.NotAfter}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := rest[1].mesh.Revoke(context.Background(), list); err != nil {
			t.Fatal(err)
		}
		took := eventually(t, 3*time.Second, "everyone has removed it", func() bool {
			return rest[0].peer(bad.name).Name == "" && rest[1].peer(bad.name).Name == "" && !bad.reaches(rest[0]) && !bad.reaches(rest[1])
		})
		t.Logf("revoked on all after %s (simulated)", took)
		off.start()
		eventually(t, 5*time.Second, "the one that was off has removed it", func() bool {
			return allUp(rest...) && off.peer(bad.name).Name == ""
		})
		// It stays out: through restarts, and at the introducer.
		rest[1].stop()
		rest[1].start()
		// It may know already, and have ended.
		if err := bad.mesh.Revoke(context.Background(), list); err != nil && !errors.Is(err, mesh.ErrNotRunning) {
			t.Error(err)
		}
		if err := bad.wait(); !errors.Is(err, identity.ErrRevoked) {
			t.Errorf("Run of a node that learns that it is revoked: got %v", err)
		}
		if got := bad.log.String(); !strings.Contains(got, "own certificate is revoked") {
			t.Errorf("log does not say why it stops:\n%s", got)
		}
		if err := bad.start().wait(); !errors.Is(err, identity.ErrRevoked) {
			t.Errorf("start of a node that knows it is revoked: got %v", err)
		}
		bad.cfg.StateDir = t.TempDir()
		bad.start()
		pause(30 * time.Second)
		for _, n := range rest {
			if n.peer(bad.name).Name != "" {
				t.Errorf("%s has the revoked node again", n.name)
			}
		}
		if got := rest[0].log.String(); !strings.Contains(got, "node refused") || !strings.Contains(got, bad.name) || !strings.Contains(got, "revoked") {
			t.Errorf("introducer does not say who was refused and why:\n%s", got)
		}
		if err := rest[0].mesh.Revoke(context.Background(), []byte("nonsense")); err == nil {
			t.Error("nonsense passed as a revocation list")
		}
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestPartitionHeals(t *testing.T) {
	if testing.Short() {
		t.Skip("simulates minutes of six nodes; runs without -short, in make test too")
	}
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		nodes := []*node{l.introducer().start()}
		for i := 2; i <= 6; i++ {
			nodes = append(nodes, l.add(i).start())
		}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(nodes...) })
		left := map[string]bool{"node-1": true, "node-2": true, "node-3": true, "node-7": true}
		l.fabric.Cut(func(a, b *meshtest.Host) bool { return left[a.Name] != left[b.Name] })
		pause(75 * time.Second) // memberlist has forgotten the other half
		if !allUp(nodes[:3]...) || !allUp(nodes[3:]...) {
			t.Error("a half does not work by itself")
		}
		if got := nodes[0].peer("node-6").State; got != mesh.StateUnreachable {
			t.Errorf("across the cut: got %s, want unreachable", got)
		}
		if got := len(nodes[0].host.Config().Peers); got != 5 {
			t.Errorf("peers in the device during the cut: got %d, want 5", got)
		}
		late := l.add(7).start() // joins the half with the introducer
		nodes = append(nodes, late)
		pause(10 * time.Second)
		l.fabric.Cut(nil)
		took := eventually(t, 15*time.Second, "all pairs again, the newcomer too", func() bool { return allUp(nodes...) })
		t.Logf("healed after %s (simulated)", took)
		for _, n := range nodes {
			n.stop()
		}
	})
}

func TestBehindNAT(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		site := netip.MustParseAddr("198.18.9.9")
		host := func(n int) *node {
			name := "inside-" + string(rune('0'+n))
			h := l.fabric.Behind(name, site, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 7, byte(n)}), 24))
			return l.addOn(h, newBundle(t, l.ca, name, 100+n))
		}
		a, b := l.add(2).start(), host(1).start()
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(intro, a, b) })
		// A cloud VM that does not know its public address, which b must call.
		cloud := l.addOn(l.fabric.Mapped("cloud", publicIP(77), netip.MustParsePrefix("172.31.0.7/20")), newBundle(t, l.ca, "cloud", 77)).start()
		took := eventually(t, 3*time.Second, "the cloud VM too", func() bool { return allUp(intro, a, b, cloud) })
		t.Logf("mapped and NATed nodes up after %s (simulated)", took)
		if p := b.peer(cloud.name); p.Endpoint.Addr() != publicIP(77) {
			t.Errorf("path to the cloud VM: got %s, want its public address", p.Endpoint)
		}
		cloud.stop()
		if p := a.peer(b.name); p.Path != mesh.PathPunched || p.Endpoint.Addr() != site {
			t.Errorf("path to the node behind NAT: got %s at %s, want punched at %s", p.Path, p.Endpoint, site)
		}
		pause(5 * time.Second)
		intro.stop()
		b.crash()
		b.host.Boot()
		b.start()
		eventually(t, 2*time.Second, "up again", func() bool { return allUp(a, b) })
		a.stop()
		b.stop()
	})
}

func TestMovedNodeIsFoundAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		nodes := []*node{l.add(2).start(), l.add(3).start()}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(append(nodes, intro)...) })
		pause(5 * time.Second)
		intro.stop()
		a, b := nodes[0], nodes[1]
		a.crash()
		a.host.Move(netip.PrefixFrom(publicIP(99), 32))
		a.host.Boot()
		a.start()
		eventually(t, 2*time.Second, "up again at another address, without introducer", func() bool { return allUp(a, b) })
		eventually(t, 2*time.Second, "its new endpoint", func() bool { return b.peer(a.name).Endpoint.Addr() == publicIP(99) })
		// The other one remembers where it was.
		pause(5 * time.Second)
		b.crash()
		b.host.Boot()
		b.start()
		eventually(t, 2*time.Second, "up again", func() bool { return allUp(a, b) })
	})
}

// TestCrashRightAfterJoining: a node that was up for a moment knows the others
// when it is back, though nobody introduces it.
func TestCrashRightAfterJoining(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		a, b := l.add(2).start(), l.add(3).start()
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(intro, a, b) })
		pause(200 * time.Millisecond)
		for _, n := range []*node{intro, a, b} {
			n.crash()
		}
		for _, n := range []*node{a, b} {
			n.host.Boot()
			n.start()
		}
		eventually(t, 3*time.Second, "up again without introducer", func() bool { return allUp(a, b) })
		a.stop()
		b.stop()
	})
}

// TestIntroducerForgetsEveryone: an introducer loses its memory while its
// members are well. They have each other and need nobody; they call it all the
// same, or it would stay alone.
func TestIntroducerForgetsEveryone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		nodes := []*node{l.add(2).start(), l.add(3).start()}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(append(nodes, intro)...) })
		intro.crash()
		pause(5 * time.Second)
		if err := os.RemoveAll(intro.cfg.StateDir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(intro.cfg.StateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		intro.host.Boot()
		intro.start()
		took := eventually(t, 15*time.Second, "all up again", func() bool { return allUp(append(nodes, intro)...) })
		t.Logf("all up again after %s (simulated)", took)
		for _, n := range append(nodes, intro) {
			n.stop()
		}
	})
}
