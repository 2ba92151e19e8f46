package protocol

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestSync: a node joins with one random member more at some times after its
// first peer came up, and then no more until a lost one is back; a member that is
// never in gossip takes nobody's turn.
func TestSync(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3"), peerOf("out", "10.66.0.4")}, "a", "b", "out")
	m.gossip = newGossip("1")
	m.gossip.alive["a.1"], m.gossip.alive["b.1"] = true, true
	out := netip.AddrPortFrom(m.links["out"].signed.Grant.IP, GossipPort)
	var got []time.Duration
	last := m.now
	run := func(for_ time.Duration) {
		for end, looks := m.now.Add(for_), 0; m.now.Before(end); looks++ {
			if looks > 100 {
				t.Fatalf("looks again and again at %s", m.now.Sub(t0))
			}
			m.now = m.gossip.next
			for _, l := range m.links {
				l.answer = m.now
			}
			m.joinGossip()
			for _, j := range sent[JoinGossip](m) {
				if !slices.Contains(j.With, out) {
					t.Errorf("joined with %v, want the one out of gossip among them", j.With)
				}
				if len(j.With) > 1 {
					got, last = append(got, m.now.Sub(last)), m.now
				}
				m.rest()
			}
		}
	}
	want := slices.Repeat(syncs[:], 3)
	m.rest()
	m.healed()
	run(3 * time.Minute)
	last = m.now
	m.healed()
	m.healed() // of another one, while the first series runs
	run(5 * time.Minute)
	if len(got) != len(want) {
		t.Fatalf("joined after %v, want %v", got, want)
	}
	for i := range want {
		if got[i] < want[i] || got[i] > want[i]*5/4 {
			t.Errorf("sync %d after %s, want %s to %s", i, got[i], want[i], want[i]*5/4)
		}
	}
}

// TestCorrect: who shows a record of an earlier certificate with a higher version,
// however often, is handed the one in force once, when it is heard.
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
		"by one that is silent":  {a.record("c", 4, 7, now.Add(-time.Hour), identity.Record{Version: 20}), "b", false},
	} {
		m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3")}, "a")
		m.wants, m.conflicts = newWants(), map[string]Digest{}
		m.book.put(inForce)
		for range 100 {
			if m.admitPeer(tt.shown, tt.source) {
				t.Errorf("%s: taken for news", name)
			}
		}
		m.inform("a")
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
