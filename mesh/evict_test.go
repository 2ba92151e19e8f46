package mesh_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// inGossipOf returns the names of a node in the gossip of others.
func inGossipOf(others []*node, name string) (names []string) {
	for _, n := range others {
		for _, m := range n.mesh.GossipMembers() {
			if node, _, _ := strings.Cut(m, "."); node == name {
				names = append(names, m)
			}
		}
	}
	return names
}

// TestEvictedNodeComesBack: one message with the highest incarnation has
// memberlist hold a node for dead, for ever. It finds that out and comes back
// under another name; meanwhile no packet is lost, and nobody else moves.
func TestEvictedNodeComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSiege(t)
		victim := s.honest[2]
		others := slices.Concat(s.honest[:2], s.honest[3:])
		first := s.names[victim.name]
		if got := len(inGossipOf(others, victim.name)); got != len(others) {
			t.Fatalf("in the gossip of %d others before, want %d", got, len(others))
		}
		s.gossip(deadMsg(first, s.liarName(), math.MaxUint32))
		eventually(t, 5*time.Second, "it is evicted", func() bool { return len(inGossipOf(others, victim.name)) == 0 })
		took := eventually(t, 60*time.Second, "it is back", func() bool {
			names := inGossipOf(others, victim.name)
			return len(names) == len(others) && !slices.Contains(names, first)
		})
		t.Logf("back in gossip after %s (simulated)", took)
		if !allUp(s.everyone()...) {
			t.Error("not all up")
		}
		if got := len(victim.mesh.GossipMembers()); got != len(others)+2 {
			t.Errorf("its own gossip holds %d, want all %d", got, len(others)+2)
		}
		for _, n := range others {
			if strings.Contains(n.log.String(), "another name") {
				t.Errorf("%s took another name, too", n.name)
			}
		}
		// Again at once: it takes another name only after a minute.
		second := inGossipOf(others[:1], victim.name)[0]
		s.gossip(deadMsg(second, s.liarName(), math.MaxUint32))
		pause(30 * time.Second)
		if got := inGossipOf(others, victim.name); len(got) != 0 {
			t.Errorf("two names in a minute: back as %v", got)
		}
		eventually(t, 90*time.Second, "it is back again", func() bool { return len(inGossipOf(others, victim.name)) == len(others) })
		s.stop()
	})
}
