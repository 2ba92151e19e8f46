package protocol

import (
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// A single joiner is let in at once, several when no more come, but none waits
// for ever.
func TestPorchOpens(t *testing.T) {
	ms := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
	at := func(times ...int) (as []arrival) {
		for _, n := range times {
			as = append(as, arrival{at: ms(n)})
		}
		return as
	}
	for _, tt := range []struct {
		name  string
		porch porch
		want  time.Time
	}{
		{"nobody", porch{}, time.Time{}},
		{"one", porch{waiting: at(5)}, ms(5)},
		{"one while others are announced", porch{waiting: at(5), pushing: 1}, ms(255)},
		{"one after a crowd", porch{waiting: at(5), crowded: true}, ms(255)},
		{"two", porch{waiting: at(5, 50)}, ms(300)},
		{"many, one after the other", porch{waiting: at(0, 200, 400, 600, 800, 1000, 1200, 1400)}, ms(1500)},
	} {
		if got := tt.porch.open(); !got.Equal(tt.want) {
			t.Errorf("%s: opens at %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A crowd is answered as a whole, before the members know of it.
func TestCrowd(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("member", "10.66.0.9"))
	m.opened = true
	m.links["member"].answer, m.debts, m.pushes = t0, map[string]*debt{}, map[uint64]func([]string){}
	m.roots = newAuthority(t).roots
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		m.porch.waiting = append(m.porch.waiting, arrival{id: uint64(i), at: m.now, node: name})
	}
	m.welcome()
	if len(m.out) != 0 {
		t.Fatalf("let in at once: %+v", m.out)
	}
	m.now = m.now.Add(joinersFor)
	m.welcome()
	answered := 0
	for _, a := range m.out {
		if _, ok := a.(Answer); ok {
			answered++
		}
	}
	if answered != 5 {
		t.Errorf("%d answers, want 5", answered)
	}
}

// A node joins gossip by three members, also when it is alone: the one may lie.
func TestGossipByThree(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3"), peerOf("c", "10.66.0.4"), peerOf("d", "10.66.0.5"))
	m.gossip = newGossip("1")
	for _, l := range m.links {
		l.answer = t0
	}
	m.joinGossip()
	if j, ok := m.out[len(m.out)-1].(JoinGossip); !ok || len(j.With) != 3 {
		t.Errorf("got %+v, want three to join with", m.out)
	}
}
