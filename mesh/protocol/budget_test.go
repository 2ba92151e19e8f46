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
