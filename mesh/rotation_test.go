package mesh_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// While a mesh changes its authority, some nodes name the new one first and
// others the old one. All of them are in one mesh, and in one gossip.
func TestTwoAuthorities(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		before := l.ca
		after, err := identity.NewCA(before.Mesh, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		oldFirst := []*x509.Certificate{before.Certificate, after.Certificate}
		newFirst := []*x509.Certificate{after.Certificate, before.Certificate}
		a := l.introducer()
		a.cfg.Bundle.CAs = oldFirst
		b := l.add(2)
		b.cfg.Bundle.CAs = newFirst
		l.ca = after
		c := l.add(3)
		c.cfg.Bundle.CAs = newFirst
		d := l.add(4)
		d.cfg.Bundle.CAs = oldFirst
		for _, n := range []*node{a, b, c, d} {
			n.start()
		}
		eventually(t, 10*time.Second, "all four are up", func() bool { return allUp(a, b, c, d) })

		// News travel: the introducer moves nothing, gossip does.
		d.stop()
		eventually(t, 10*time.Second, "the stop is known", func() bool { return c.peer("node-4").State == "away" && a.peer("node-4").State == "away" })
		d.start()
		eventually(t, 10*time.Second, "it is back", func() bool { return allUp(a, b, c, d) })
	})
}
