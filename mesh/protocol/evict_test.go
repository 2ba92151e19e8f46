package protocol

import (
	"fmt"
	"testing"
	"time"
)

// TestEvicted: who has to say what for how long until a node takes another name.
func TestEvicted(t *testing.T) {
	const yes, no, nothing = HeldAlive, HeldNot, HeldUnknown
	tests := []struct {
		name   string
		b, c   Held
		alone  bool // its own gossip holds nobody
		silent bool // c is not up
		after  time.Duration
		want   bool
	}{
		{name: "all hold it", b: yes, c: yes, after: time.Minute},
		{name: "nobody does", b: no, c: no, after: 11 * time.Second, want: true},
		{name: "not for long", b: no, c: no, after: 9 * time.Second},
		{name: "one of two says so", b: no, c: yes, after: time.Minute},
		{name: "one of two says so, the other nothing", b: no, c: nothing, after: time.Minute},
		{name: "the only one says so", b: no, c: nothing, silent: true, after: 11 * time.Second, want: true},
		{name: "nobody says anything", b: nothing, c: nothing, after: time.Minute},
		{name: "it is alone and joins anyway", b: no, c: no, alone: true, after: time.Minute},
	}
	for _, tt := range tests {
		m := still(t)
		m.opened = true
		name := m.GossipName()
		if !tt.alone {
			m.Step(m.now, MemberJoined{GossipName("b", "1")})
		}
		if tt.silent {
			m.links["c"].answer = time.Time{}
		}
		m.heldBy("b", tt.b)
		m.heldBy("c", tt.c)
		m.watchGossip()
		m.now = m.now.Add(tt.after)
		m.out = nil
		m.watchGossip()
		restarted := false
		for _, a := range m.out {
			_, is := a.(RestartGossip)
			restarted = restarted || is
		}
		if renamed := m.GossipName() != name; restarted != tt.want || renamed != tt.want {
			t.Errorf("%s: gossip started anew %t, renamed %t; want %t", tt.name, restarted, renamed, tt.want)
		}
	}
}

// TestLiesAboutEvictionCostLittle: peers that always say so get fewer and fewer
// names.
func TestLiesAboutEvictionCostLittle(t *testing.T) {
	m := still(t)
	m.opened = true
	names := 0
	for range 4 * 3600 {
		m.now = m.now.Add(time.Second)
		m.gossip.alive[GossipName("b", fmt.Sprint(names))] = true
		m.heldBy("b", HeldNot)
		m.heldBy("c", HeldNot)
		before := m.GossipName()
		m.watchGossip()
		if m.GossipName() != before {
			names++
			m.eviction.busy = false
		}
	}
	if names < 4 || names > 12 {
		t.Errorf("%d names in four hours, want some, ever more rarely", names)
	}
}
