package protocol

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// machine makes the machine of a node "a", before its start.
func (a authority) machine(t *testing.T, now time.Time) *Machine {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.ca.Issue(pub, identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.1")}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{
		Roots: a.roots, Certificate: cert, Key: key, PrivateKey: overlay.Key{1}, Port: 51820,
		Boot: "1", Rand: rand.New(rand.NewPCG(1, 2)),
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// still makes a machine that knows the peers b and c, which are up.
func still(t *testing.T) *Machine {
	t.Helper()
	a, now := newAuthority(t), time.Now()
	m := a.machine(t, now)
	m.Step(now, Start{})
	m.Step(now, RecordSaved{})
	for i, name := range []string{"b", "c"} {
		s := a.record(name, 2+i, byte(2+i), now, identity.Record{})
		m.admit([][]byte{s.Envelope}, "test", func(string) time.Duration { return 0 })
		m.links[name].answer = now
	}
	return m
}

// TestGossipOfALiarIsBounded: memberlist keeps every name that is not refused,
// so neither invented nodes nor invented starts may get in.
func TestGossipOfALiarIsBounded(t *testing.T) {
	m := still(t)
	alive := func(node, boot, ip string) error {
		c := Member{Name: GossipName(node, boot), Addr: netip.MustParseAddr(ip), Port: GossipPort,
			Meta: Meta{Name: nameHash(node), Digest: Digest{Version: 1}}.Append(nil)}
		m.Step(m.now, MemberSeen{c})
		return m.Judge(c)
	}
	if err := alive("b", "1", "10.66.0.2"); err != nil {
		t.Fatalf("a member: %v", err)
	}
	invented, starts := 0, 0
	for i := range 10_000 {
		if alive(fmt.Sprintf("x-%d", i), "1", "10.66.0.9") == nil {
			invented++
		}
		if alive("b", strconv.Itoa(i), "10.66.0.2") == nil {
			starts++
		}
	}
	if invented != 0 || starts > maxStarts {
		t.Errorf("%d invented nodes and %d starts of one were let in, want 0 and at most %d", invented, starts, maxStarts)
	}
	if err := alive("b", "1", "10.66.0.2"); err != nil {
		t.Errorf("the true start is forgotten: %v", err)
	}
	if got := len(m.wants.byNode); got > 2*maxWanted {
		t.Errorf("%d records wanted, want at most %d", got, 2*maxWanted)
	}
}

// TestLiesDoNotHideNews: whatever is said of others, what a node tells of itself
// is asked for at once, from itself.
func TestLiesDoNotHideNews(t *testing.T) {
	m := still(t)
	for i := range 2 * maxWanted {
		m.want(fmt.Sprintf("x-%d", i), Digest{Version: 1}, "c")
	}
	for _, liar := range []string{"c", "d", "e", "f"} {
		m.want("b", Digest{Version: 1 << 62}, liar)
	}
	if got := len(m.wants.byNode); got != maxWanted+1 {
		t.Errorf("%d records wanted, want %d and that of b", got, maxWanted)
	}
	m.fetchPlan()
	m.heed("b", Digest{Version: m.book.records["b"].Record.Version + 1})
	w := *m.wants.byNode["b"]
	if len(w.sources) != 1 || w.sources[0] != "b" || w.next.Sub(m.now) > fetchEvery {
		t.Errorf("b is asked for from %v in %s, want from itself within %s", w.sources, w.next.Sub(m.now), fetchEvery)
	}
}

// TestSilentMemberHoldsUpNobody: while one is asked, the others are asked too.
func TestSilentMemberHoldsUpNobody(t *testing.T) {
	m := still(t)
	m.wants.asking["c"] = true
	m.want("x", Digest{Version: 1}, "c")
	if batches, next := m.fetchPlan(); len(batches) != 0 || next < hearsayFor || next > 3*hearsayFor {
		t.Errorf("batches %v, and again in %s: want x to be left alone for %s to %s", batches, next, hearsayFor, 3*hearsayFor)
	}
	m.now = m.now.Add(3 * hearsayFor)
	batches, _ := m.fetchPlan()
	if len(batches["b"]) != 1 || len(batches["c"]) != 0 {
		t.Errorf("batches %v, want x from b", batches)
	}
}

// TestFullBook: those who left give way to those who come, the first ones first.
func TestFullBook(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	b := newBook()
	for i := range MaxMembers {
		r := identity.Record{Left: i < 2, Issued: now.Add(time.Duration(-i) * time.Minute)}
		b.records[fmt.Sprintf("n-%d", i)] = &identity.Signed{Record: r}
	}
	late := func(name string) *identity.Signed { return a.record(name, 9, 9, now, identity.Record{}) }
	for i, want := range []verdict{verdictNew, verdictNew, verdictFull} {
		if got := b.add(late(fmt.Sprintf("late-%d", i))); got != want || len(b.records) != MaxMembers {
			t.Errorf("newcomer %d: %s with %d records, want %s with %d", i, got, len(b.records), want, MaxMembers)
		}
		if _, ok := b.records["n-0"]; i == 0 && !ok {
			t.Error("the one that left last was forgotten first")
		}
	}
}

// TestWantsStayInOrder: what is dropped leaves no hole in the order.
func TestWantsStayInOrder(t *testing.T) {
	ws := newWants()
	for _, n := range []string{"a", "b", "c", "d"} {
		ws.put(n, &want{})
	}
	ws.put("b", &want{tries: 1})
	ws.drop("a")
	ws.drop("x")
	ws.drop("c")
	if len(ws.byNode) != 2 || len(ws.order) != 2 {
		t.Fatalf("%d wants in an order of %d, want 2", len(ws.byNode), len(ws.order))
	}
	for i, n := range ws.order {
		if ws.byNode[n].index != i {
			t.Errorf("%s is at %d, says %d", n, i, ws.byNode[n].index)
		}
	}
}
