package protocol

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cbnet-io/cbnet/identity"
)

// Records of many unknown nodes are asked for together, a few requests in all.
func TestHearsayIsFetchedTogether(t *testing.T) {
	m := still(t)
	for i := range maxNames {
		m.want(fmt.Sprintf("x-%d", i), Digest{Version: 1}, "b")
	}
	requests, asked := 0, 0
	for end := m.now.Add(3 * hearsayFor); m.now.Before(end) && asked < maxNames; {
		batches, next := m.fetchPlan()
		for source, names := range batches {
			requests++
			asked += len(names)
			delete(m.wants.asking, source) // it has answered
		}
		m.now = m.now.Add(max(next, 1))
	}
	if asked < maxNames || requests > 10 {
		t.Errorf("%d requests for %d of %d records, want all in at most 10", requests, asked, maxNames)
	}
}

// Whoever has asked others in vain asks one that has the record soon.
func TestNewSourceIsAskedSoon(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2"), peerOf("c", "10.66.0.3"))
	m.roots, m.wants = newAuthority(t).roots, newWants()
	m.links["c"].answer = t0
	m.want("x", Digest{Version: 1}, "b")
	w := m.wants.byNode["x"]
	w.tries, w.next = 6, m.now.Add(fetchEvery<<6)
	m.want("x", Digest{Version: 1}, "c")
	if got := w.next.Sub(m.now); got > fetchEvery {
		t.Errorf("asked in %s, want within %s", got, fetchEvery)
	}
}

// Liars were asked in vain for a record that they invented: one that has a true
// one is asked next, even if it is busy at the moment.
func TestLiarsDoNotHideARecord(t *testing.T) {
	var peers []*identity.Signed
	for i, name := range []string{"b", "c", "d", "e", "f"} {
		peers = append(peers, peerOf(name, fmt.Sprintf("10.66.0.%d", 2+i)))
	}
	m := machineWith(identity.Record{}, peers...)
	m.roots, m.wants = newAuthority(t).roots, newWants()
	for _, l := range m.links {
		l.answer = t0
	}
	for _, liar := range []string{"b", "c", "d", "e"} {
		m.want("x", Digest{Version: 1 << 60}, liar)
	}
	w := m.wants.byNode["x"]
	w.tries, w.next = maxWantTries, m.now.Add(fetchEvery<<maxWantTries)
	m.want("x", Digest{Version: 7}, "f")
	m.wants.asking["f"] = true // about something else
	m.now = m.now.Add(fetchEvery)
	if batches, _ := m.fetchPlan(); len(batches) > 0 {
		t.Errorf("asked %v while f was busy", batches)
	}
	delete(m.wants.asking, "f")
	m.now = m.now.Add(fetchEvery)
	if batches, _ := m.fetchPlan(); !slices.Equal(batches["f"], []string{"x"}) {
		t.Errorf("asked %v, want f", batches)
	}
}
