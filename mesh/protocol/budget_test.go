package protocol

import (
	"fmt"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// A host that is overloaded sees all peers fall silent at once. It probes them in
// turn and no more often than a few peers.
func TestProbesAreBounded(t *testing.T) {
	const n = 60
	var peers []*identity.Signed
	for i := range n {
		peers = append(peers, peerOf(fmt.Sprintf("p%02d", i), fmt.Sprintf("10.66.1.%d", i+1), at(identity.KindPublic, public)))
	}
	m := machineWith(identity.Record{}, peers...)
	asked := map[string]int{}
	const seconds = 8
	sent := 0
	for m.now = t0; m.now.Before(t0.Add(seconds * time.Second)); m.now = m.now.Add(50 * time.Millisecond) {
		m.pace.probes.fill(m.now, m.probeRate(), max(minBurst, n))
		m.pace.short = false
		for i := range n {
			name := m.names[(m.pace.first+i)%n]
			l := m.links[name]
			l.nextAsk = m.now // always due
			if _, ok := m.probe(l, name); ok {
				asked[name]++
				sent++
			}
		}
	}
	if most := n + seconds*int(m.probeRate()+1); sent > most || sent < most/2 {
		t.Errorf("%d probes in %d s, want at most %d, and half of it", sent, seconds, most)
	}
	least, most := sent, 0
	for _, name := range m.names {
		least, most = min(least, asked[name]), max(most, asked[name])
	}
	if most-least > 1 {
		t.Errorf("some were probed %d times, some %d: want all alike", least, most)
	}
}

// A thousand events within a second have all links looked at a thousand times in
// a small mesh, and now and then in a large one; the last of them is not forgotten.
func TestTurnsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		links, turns int
		rest         time.Duration
	}{
		{fewLinks, 1000, 0},
		{fewLinks + 200, 50, 20 * time.Millisecond},
		{fewLinks + 2000, 10, maxTurnRest},
	} {
		var peers []*identity.Signed
		for i := range tt.links {
			peers = append(peers, peerOf(fmt.Sprintf("p%04d", i), fmt.Sprintf("10.66.%d.%d", 1+i/200, 1+i%200), at(identity.KindPublic, public)))
		}
		m := machineWith(identity.Record{}, peers...)
		m.opened, m.roots, m.states, m.wants = true, newAuthority(t).roots, map[string]State{}, newWants()
		m.pace.tick, m.pace.looked, m.pace.observed = t0.Add(time.Hour), t0, t0.Add(time.Hour)
		turns := 0
		for i := range 1000 {
			m.now = t0.Add(time.Duration(i) * time.Millisecond)
			m.wakeUp()
			m.settle()
			if m.pace.turned.Equal(m.now) {
				turns++
			}
		}
		if turns != tt.turns {
			t.Errorf("%d links: all were looked at %d times, want %d", tt.links, turns, tt.turns)
		}
		if tt.rest == 0 {
			continue
		}
		last, due := m.now, m.Next()
		if due.Sub(last) > tt.rest {
			t.Fatalf("%d links: the next look is due %s after something happened, want at most %s", tt.links, due.Sub(last), tt.rest)
		}
		m.Step(due, Tick{})
		if !m.pace.turned.Equal(due) || !m.Next().After(due) {
			t.Errorf("%d links: what happened last is looked at %s later, and again in %s", tt.links, m.pace.turned.Sub(last), m.Next().Sub(due))
		}
	}
}
