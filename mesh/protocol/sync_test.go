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
	m.rest()
	for looks := 0; m.now.Sub(t0) < 5*time.Minute; looks++ {
		if looks > 100 {
			t.Fatalf("looks again and again at %s", m.now.Sub(t0))
		}
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

// TestShowLeft: a node that answers is shown that it has left, as others say, and
// nobody else is.
func TestShowLeft(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		version uint64
		left    bool
		source  string
		up      []string
		want    bool
	}{
		"it answers":               {2, true, "a", []string{"a", "b"}, true},
		"it does not answer":       {2, true, "a", []string{"a"}, false},
		"it said so itself":        {2, true, "b", []string{"a", "b"}, false},
		"an older record":          {1, true, "a", []string{"a", "b"}, false},
		"a newer one, and is here": {2, false, "a", []string{"a", "b"}, false},
	} {
		b := a.record("b", 3, 7, time.Now(), identity.Record{Version: 1})
		m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), b}, tt.up...)
		m.wants, m.conflicts = newWants(), map[string]Digest{}
		s := *b
		s.Record.Version, s.Record.Left, s.Envelope, s.Hash = tt.version, tt.left, []byte("shown"), [32]byte{1}
		if tt.version == 1 {
			s.Hash = b.Hash
		}
		m.admitPeer(&s, tt.source)
		got := sent[SendNotice](m)
		if (len(got) == 1 && string(got[0].Notice.Envelope) == "shown" && got[0].To == b.Grant.IP) != tt.want || !tt.want && len(got) > 0 {
			t.Errorf("%s: sent %+v, want it %v", name, got, tt.want)
		}
	}
}
