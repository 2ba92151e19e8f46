package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

type noDevice struct{}

func (noDevice) Set(context.Context, overlay.Config) error { return nil }
func (noDevice) Peers() ([]overlay.PeerStatus, error)      { return nil, nil }

// still makes a mesh that does not run and knows the peers b and c.
func still(t *testing.T) *Mesh {
	t.Helper()
	a := newAuthority(t)
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.ca.Issue(pub, identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.1")}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{
		Bundle: &identity.Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{a.ca.Certificate}},
		Device: noDevice{}, StateDir: t.TempDir(), PrivateKey: overlay.Key{1}, Port: 51820,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.publish(standingHere, 0); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"b", "c"} {
		s := a.record(name, 2+i, byte(2+i), time.Now(), identity.Record{})
		m.admit([][]byte{s.Envelope}, "test", func(string) time.Duration { return 0 })
		l := m.links[name]
		l.answer = time.Now()
	}
	return m
}

// TestGossipOfALiarIsBounded: memberlist keeps every name that is not refused,
// so neither invented nodes nor invented starts may get in.
func TestGossipOfALiarIsBounded(t *testing.T) {
	m := still(t)
	d := newGossipDelegate(m)
	alive := func(node, boot, ip string) error {
		return d.NotifyAlive(&memberlist.Node{
			Name: gossipName(node, boot), Addr: net.ParseIP(ip), Port: GossipPort,
			Meta: meta{name: nameHash(node), digest: digest{version: 1}}.append(nil),
		})
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
	if got := len(m.wants); got > 2*maxWanted {
		t.Errorf("%d records wanted, want at most %d", got, 2*maxWanted)
	}
}

// TestLiesDoNotHideNews: whatever is said of others, what a node tells of itself
// is asked for at once, from itself.
func TestLiesDoNotHideNews(t *testing.T) {
	m := still(t)
	for i := range 2 * maxWanted {
		m.want(fmt.Sprintf("x-%d", i), digest{version: 1}, "c")
	}
	for _, liar := range []string{"c", "d", "e", "f"} {
		m.want("b", digest{version: 1 << 62}, liar)
	}
	if got := len(m.wants); got != maxWanted+1 {
		t.Errorf("%d records wanted, want %d and that of b", got, maxWanted)
	}
	m.fetchPlan()
	m.mu.Lock()
	m.heedLocked("b", digest{version: m.book.records["b"].Record.Version + 1})
	w := *m.wants["b"]
	clear(m.asking)
	m.mu.Unlock()
	if len(w.sources) != 1 || w.sources[0] != "b" || time.Until(w.next) > fetchEvery {
		t.Errorf("b is asked for from %v in %s, want from itself within %s", w.sources, time.Until(w.next), fetchEvery)
	}
}

// TestSilentMemberHoldsUpNobody: while one is asked, the others are asked too.
func TestSilentMemberHoldsUpNobody(t *testing.T) {
	m := still(t)
	m.asking["c"] = true
	m.want("x", digest{version: 1}, "c")
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
	for i := range maxMembers {
		r := identity.Record{Left: i < 2, Issued: now.Add(time.Duration(-i) * time.Minute)}
		b.records[fmt.Sprintf("n-%d", i)] = &identity.Signed{Record: r}
	}
	late := func(name string) *identity.Signed { return a.record(name, 9, 9, now, identity.Record{}) }
	for i, want := range []verdict{verdictNew, verdictNew, verdictFull} {
		if got := b.add(late(fmt.Sprintf("late-%d", i))); got != want || len(b.records) != maxMembers {
			t.Errorf("newcomer %d: %s with %d records, want %s with %d", i, got, len(b.records), want, maxMembers)
		}
		if _, ok := b.records["n-0"]; i == 0 && !ok {
			t.Error("the one that left last was forgotten first")
		}
	}
}

// TestGarbageAtTheIntroducer: ten thousand connections over the real loopback
// cost neither memory nor goroutines that stay.
func TestGarbageAtTheIntroducer(t *testing.T) {
	m := still(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := m.newIntroducer(l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); i.run(ctx) }()
	defer func() { cancel(); <-done }()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := 0
	garbage := bytes.Repeat([]byte("garbage"), 100)
	for n := range 10_000 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(garbage[:n%len(garbage)]) // it may be cut off
		closeQuietly(c)
		if n%100 == 0 {
			most = max(most, runtime.NumGoroutine())
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 || most > 2*maxPerSource {
		t.Errorf("the heap grew by %d bytes, %d goroutines at most", grown, most)
	}
	if got := len(i.prefaces.seen); got != 0 {
		t.Errorf("%d strangers' prefaces remembered", got)
	}
}
