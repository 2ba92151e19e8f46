package mesh_test

import (
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
