package mesh_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
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

// A node that goes on with another certificate says no goodbye, loses no packet
// and nobody of those it knew, even if its disk took nothing.
func TestReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		a, b, c := l.introducer(), l.add(2), l.add(3)
		for _, n := range []*node{a, b, c} {
			n.start()
		}
		eventually(t, 10*time.Second, "all are up", func() bool { return allUp(a, b, c) })

		before, old := b.mesh, b.cfg.Bundle
		b.replaced()
		renewed := *old
		cert, err := l.ca.Issue(old.Key.Public().(ed25519.PublicKey), before.Grant(), time.Now(), 48*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		renewed.Certificate = cert
		b.cfg.Bundle, b.cfg.Before = &renewed, before
		b.cfg.StateDir = t.TempDir() // empty, as if nothing had been saved
		a.stop()                     // nobody introduces
		b.start()
		lost := 0
		for range 200 {
			if !b.reaches(c) || !c.reaches(b) {
				lost++
			}
			if s := c.peer(b.name).State; s != mesh.StateUp {
				t.Fatalf("it is %s in the eyes of others", s)
			}
			pause(10 * time.Millisecond)
		}
		if lost > 0 {
			t.Errorf("%d of 200 packets lost", lost)
		}
		eventually(t, 10*time.Second, "it has its peers", func() bool { return b.peer(c.name).State == mesh.StateUp })
	})
}
