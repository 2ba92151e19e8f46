package mesh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestIntroducersMeet: two introducers that did not find each other at their
// start, each with a member of its own by then, become one network.
func TestIntroducersMeet(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		const second = "198.18.0.2:7950"
		one, two := l.introducer(), l.add(2, identity.RoleIntroducer)
		two.cfg.Introduce = second
		a, b := l.add(3), l.add(4)
		b.cfg.Bundle.Introducers = []string{second, introducerAddr}
		two.start()
		b.start()
		eventually(t, 5*time.Second, "the second introducer has its member", func() bool { return allUp(two, b) })
		one.start()
		a.start()
		took := eventually(t, 40*time.Second, "all pairs up", func() bool { return allUp(one, two, a, b) })
		t.Logf("two introducers with a member each are one network after %s (simulated)", took)
	})
}

// TestAllAtOnce: two introducers and many others that start at the same moment,
// each knowing both, are one network soon, in which everyone has been told of
// everyone without asking.
func TestAllAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		const second = "198.18.0.2:7950"
		both := []string{introducerAddr, second}
		one, two := l.introducer(), l.add(2, identity.RoleIntroducer)
		two.cfg.Introduce = second
		nodes := []*node{one, two}
		for n := 3; n <= 20; n++ {
			nodes = append(nodes, l.add(n))
		}
		for _, n := range nodes {
			n.cfg.Bundle.Introducers = both
		}
		for _, n := range nodes {
			n.start()
		}
		took := eventually(t, 6*time.Second, "all pairs up", func() bool { return allUp(nodes...) })
		t.Logf("20 nodes that start at once are one network after %s (simulated)", took)
	})
}

// TestIntroducerIsLate: who starts a moment before its introducer knocks again,
// and says nothing of it.
func TestIntroducerIsLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro, a := l.introducer(), l.add(2)
		a.start()
		pause(300 * time.Millisecond)
		intro.start()
		took := eventually(t, 2*time.Second, "both up", func() bool { return allUp(intro, a) })
		t.Logf("joined %s after the introducer's start (simulated)", took)
		if strings.Contains(a.log.String(), "no introducer") {
			t.Errorf("it complained:\n%s", a.log.String())
		}
	})
}
