package protocol

import (
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestSync: with everybody in gossip, a node joins with one member more at some
// times after its start, and then no more until a lost peer is back.
func TestSync(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3")}, "a", "b")
	m.gossip = newGossip("1")
	m.gossip.alive["a.1"], m.gossip.alive["b.1"] = true, true
	m.gossip.since = m.now
	var got []time.Duration
	start, healed := t0, false
	for m.rest(); m.now.Sub(t0) < 5*time.Minute; {
		if !healed && m.now.Sub(t0) > 2*time.Minute {
			m.healed()
			m.healed() // of many peers at once
			start, healed = m.now, true
		}
		m.now = m.gossip.next
		for _, l := range m.links {
			l.answer = m.now
		}
		m.joinGossip()
		for _, j := range sent[JoinGossip](m) {
			if len(j.With) != 1 {
				t.Errorf("joined with %v, want one", j.With)
			}
			got = append(got, m.now.Sub(start))
			m.rest()
		}
	}
	if want := slices.Repeat(syncs[:], 2); !slices.Equal(got, want) {
		t.Errorf("joined after %v, want %v", got, want)
	}
}

// TestCorrect: who holds a record of an earlier certificate with a higher version
// is handed the one in force, once for each time it shows the other.
func TestCorrect(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	inForce := a.record("c", 4, 7, now, identity.Record{Version: 10})
	for name, tt := range map[string]struct {
		shown  *identity.Signed
		source string
		want   bool
	}{
		"an earlier certificate": {a.record("c", 4, 7, now.Add(-time.Hour), identity.Record{Version: 20}), "a", true},
		"an older record":        {a.record("c", 4, 7, now.Add(-time.Hour), identity.Record{Version: 5}), "a", false},
		"by the node itself":     {a.record("c", 4, 7, now.Add(-time.Hour), identity.Record{Version: 20}), "c", false},
		"by one out of reach":    {a.record("c", 4, 7, now.Add(-time.Hour), identity.Record{Version: 20}), "b", false},
	} {
		m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3")}, "a")
		m.wants, m.conflicts = newWants(), map[string]Digest{}
		m.book.put(inForce)
		if m.admitPeer(tt.shown, tt.source) {
			t.Errorf("%s: taken for news", name)
		}
		nodes, records := targets(sent[Push](m))
		if want := tt.want; want != slices.Equal(nodes, []string{"a"}) || want != slices.Equal(records, []string{string(inForce.Envelope)}) {
			t.Errorf("%s: pushed %d records to %v, want it %v", name, len(records), nodes, want)
		}
	}
}
