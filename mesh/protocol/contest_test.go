package protocol

import (
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestContest: of two that claim one WireGuard key, each has its turn until one
// of them has answered with it.
func TestContest(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name  string
		after time.Duration // of each step
		prove string        // answers with the key while it is in the device
		want  []string      // who has the key after each step
	}{
		{name: "the later certificate first, then in turns", after: contestFor * 3 / 2, want: []string{"c", "b", "c", "b"}},
		{name: "not before its time is over", after: contestFor/2 - time.Second, want: []string{"c", "c"}},
		{name: "whoever has proved it keeps it", after: contestFor * 3 / 2, prove: "c", want: []string{"c", "c", "c"}},
		{name: "the true owner has its turn, and keeps it", after: contestFor * 3 / 2, prove: "b", want: []string{"c", "b", "b", "b"}},
	}
	for _, tt := range tests {
		m := machineWith(identity.Record{})
		m.roots, m.began = a.roots, t0
		m.doubted, m.turns, m.clashes = map[string]time.Time{}, map[string]turn{}, map[string]string{}
		now := time.Now()
		for name, issued := range map[string]time.Time{"b": now.Add(-2 * time.Hour), "c": now.Add(-time.Hour)} {
			m.book.put(a.record(name, int(name[0]), 7, issued, identity.Record{}))
		}
		m.now = now
		m.refresh(nil)
		m.contest() // their turns begin
		var got []string
		for range tt.want {
			got = append(got, m.names...)
			if slices.Contains(m.names, tt.prove) {
				m.links[tt.prove].proved = true
			}
			m.now = m.now.Add(tt.after)
			m.contest()
			m.contest() // of whoever is in now, the turn begins
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestTurnsDiffer: turns are of different lengths.
func TestTurnsDiffer(t *testing.T) {
	a := newAuthority(t)
	m := machineWith(identity.Record{})
	m.roots, m.began = a.roots, t0
	m.doubted, m.turns, m.clashes = map[string]time.Time{}, map[string]turn{}, map[string]string{}
	now := time.Now()
	m.book.put(a.record("b", 2, 7, now, identity.Record{}))
	m.book.put(a.record("c", 3, 7, now, identity.Record{}))
	m.now = now
	m.refresh(nil)
	lengths := map[time.Duration]bool{}
	for range 10 {
		m.contest()
		for _, turn := range m.turns {
			length := turn.ends.Sub(m.now)
			if length < contestFor/2 || length > contestFor*3/2 {
				t.Errorf("a turn of %s", length)
			}
			lengths[length] = true
			m.now = turn.ends
		}
		m.contest()
	}
	if len(lengths) < 9 {
		t.Errorf("%d lengths of 10 turns", len(lengths))
	}
}
