package protocol

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// targets are the nodes that pushes go to, and the records in them.
func targets(ps []Push) (nodes, records []string) {
	for _, p := range ps {
		for _, t := range p.To {
			nodes = append(nodes, t.Node)
		}
		for _, r := range p.Request.Records {
			records = append(records, string(r))
		}
	}
	return nodes, records
}

// Who cannot be reached when others join is told of them once it is heard.
func TestOwed(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3"), peerOf("c", "10.66.0.4")}, "a")
	m.spread([]string{"c"}, m.names)
	if nodes, records := targets(sent[Push](m)); !slices.Equal(nodes, []string{"a"}) || !slices.Equal(records, []string{"record of c"}) {
		t.Errorf("pushed %v to %v, want c's record to a", records, nodes)
	}
	m.inform("c")
	if got := sent[Push](m); len(got) != 0 {
		t.Errorf("the joiner itself was told: %+v", got)
	}
	for try := 1; try <= maxTells; try++ {
		m.inform("b")
		ps := sent[Push](m)
		if nodes, records := targets(ps); !slices.Equal(nodes, []string{"b"}) || !slices.Equal(records, []string{"record of c"}) {
			t.Fatalf("try %d: pushed %v to %v, want c's record to b", try, records, nodes)
		}
		m.inform("b")
		if again := sent[Push](m); len(again) != 0 {
			t.Errorf("try %d: told twice", try)
		}
		Pushed{ID: ps[0].ID}.apply(m) // nobody acknowledged
	}
	m.inform("b")
	if got := sent[Push](m); len(got) != 0 || len(m.debts) != 0 {
		t.Errorf("after %d tries: pushed %d, still owed to %d", maxTells, len(got), len(m.debts))
	}
}

// Nothing is owed to those who have acknowledged it, or are long unreachable, and
// not more than a request holds.
func TestOwedIsBounded(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3")}, "a")
	m.spread([]string{"b"}, []string{"a"})
	ps := sent[Push](m)
	Pushed{ID: ps[0].ID, Acknowledged: []string{"a"}}.apply(m)
	if len(m.debts) != 0 {
		t.Error("owed though acknowledged")
	}
	names := make([]string, 2*maxNames)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	m.owe("b", names, 0)
	if got := len(m.debts["b"].names); got != maxNames {
		t.Errorf("owed %d records, want %d", got, maxNames)
	}
	clear(m.debts)
	m.now = m.now.Add(connectFor)
	m.owe("b", names, 0)
	m.owe("nobody", names, 0)
	if len(m.debts) != 0 {
		t.Error("owed to one that is unreachable, or unknown")
	}
}

// Two introducers that began apart: this one tells its members of the other's,
// and hands over its own with the next call.
func TestMerge(t *testing.T) {
	peers := []*identity.Signed{peerOf("mine", "10.66.0.2"), peerOf("theirs", "10.66.0.3")}
	m := busyMachine(peers, "mine")
	m.cfg.Introduce = ":7950"
	for _, s := range peers {
		s.Hash = sha256.Sum256(s.Envelope)
		m.book.put(s)
	}
	m.joiner.handed = map[string]*handing{}
	theirs := admitted{named: map[string]bool{"theirs": true}, fresh: []string{"theirs"}}
	m.merge("other", theirs)
	if got := m.handover(); len(got) != 1 || string(got[0]) != "record of mine" {
		t.Errorf("to be handed over: %q, want mine", got)
	}
	if nodes, records := targets(sent[Push](m)); !slices.Equal(nodes, []string{"mine"}) || !slices.Equal(records, []string{"record of theirs"}) {
		t.Errorf("pushed %v to %v", records, nodes)
	}
	for range maxTells {
		if len(m.handover()) == 0 {
			t.Fatal("given up too soon")
		}
		m.merge("other", admitted{named: map[string]bool{"theirs": true}})
	}
	if len(m.handover()) != 0 {
		t.Error("an introducer that does not take a record is handed it for ever")
	}
	m.merge("other", theirs)
	m.merge("other", admitted{named: map[string]bool{"theirs": true, "mine": true}})
	if len(m.handover()) != 0 || len(m.joiner.handed) != 0 {
		t.Error("both have all, and there is still something to be handed over")
	}
}

// While an introducer that starts with nobody looks for the others, joiners wait.
func TestFounding(t *testing.T) {
	for _, tt := range []struct {
		name        string
		introduce   string
		introducers []string
		peers       int
		want        bool
	}{
		{"one of two", ":7950", []string{"192.0.2.1:7950", "192.0.2.2:7950"}, 0, true},
		{"the only one", "127.0.0.1:7950", []string{"127.0.0.1:7950"}, 0, false},
		{"with peers of an earlier run", ":7950", []string{"192.0.2.1:7950", "192.0.2.2:7950"}, 1, false},
		{"no introducer", "", []string{"192.0.2.1:7950"}, 0, false},
	} {
		var peers []*identity.Signed
		for i := range tt.peers {
			peers = append(peers, peerOf(fmt.Sprint("p", i), "10.66.0.9"))
		}
		m := busyMachine(peers)
		m.cfg.Introduce, m.cfg.Introducers = tt.introduce, tt.introducers
		m.found()
		if got := !m.porch.founding.IsZero(); got != tt.want {
			t.Errorf("%s: joiners wait: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A peer is reset only if nothing has come from it since that was decided.
func TestDue(t *testing.T) {
	key := func(b byte) overlay.Key { return overlay.Key{b} }
	resets := []Reset{{key(1), 100}, {key(2), 100}, {key(3), 0}, {key(4), 500}}
	now := []overlay.PeerStatus{{PublicKey: key(1), RxBytes: 100}, {PublicKey: key(2), RxBytes: 248}, {PublicKey: key(4), RxBytes: 0}}
	if got, want := Due(resets, now), []overlay.Key{key(1), key(4)}; !slices.Equal(got, want) {
		t.Errorf("due: %v, want %v", got, want)
	}
}

// Two that have called each other at one moment: one of them starts anew.
func TestStuck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lag    time.Duration
		status overlay.PeerStatus
		after  time.Duration
		want   bool
	}{
		{"only handshakes came", 0, overlay.PeerStatus{RxBytes: 240}, stuckFor, true},
		{"not for long enough", 0, overlay.PeerStatus{RxBytes: 240}, stuckFor - time.Millisecond, false},
		{"the other side goes first", yieldFor, overlay.PeerStatus{RxBytes: 240}, stuckFor, false},
		{"and does not", yieldFor, overlay.PeerStatus{RxBytes: 240}, stuckFor + 2*yieldFor, true},
		{"nothing came", 0, overlay.PeerStatus{}, time.Minute, false},
		{"there was a handshake", 0, overlay.PeerStatus{RxBytes: 240, LastHandshake: t0}, time.Minute, false},
	} {
		l := newLink(peerOf("b", "10.66.0.2", at(identity.KindPublic, public)), t0, t0, netip.AddrPort{})
		l.lag, l.status, l.lastRx = tt.lag, tt.status, t0
		if got := l.stuck(t0.Add(tt.after)); got != tt.want {
			t.Errorf("%s: stuck %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A record may be news and gone again: a full book drops those who left for
// those who come, in one reply.
func TestFollow(t *testing.T) {
	a, b := peerOf("a", "10.66.0.2", at(identity.KindPublic, public)), peerOf("b", "10.66.0.3")
	m := busyMachine([]*identity.Signed{a, b})
	cert := &x509.Certificate{Raw: []byte{1}}
	a.Certificate, b.Certificate = cert, cert
	moved := *a
	moved.Record.Endpoints, moved.Hash = []identity.Endpoint{at(identity.KindPublic, public6)}, [32]byte{1}
	m.book.records["a"] = &moved
	if !m.follow(map[string]time.Duration{"a": 0}) || m.links["a"].signed != &moved || m.links["a"].paths.find(public6) == nil {
		t.Error("a node that moved is not followed")
	}
	left, rekeyed, renewed := moved, moved, moved
	left.Record.Left = true
	rekeyed.Record.WireGuardKey = identity.Bytes32{9}
	renewed.Certificate = &x509.Certificate{Raw: []byte{2}}
	for name, s := range map[string]*identity.Signed{"left": &left, "another key": &rekeyed, "another certificate": &renewed, "dropped": nil} {
		m.book.records["a"] = s
		if m.follow(map[string]time.Duration{"a": 0, "b": 0}) {
			t.Errorf("%s: taken for no more than a move", name)
		}
	}
	if m.follow(map[string]time.Duration{"nobody": 0}) {
		t.Error("a node that is unknown is followed")
	}
}

// An address that leads through the NAT that both are behind comes last: it is
// tried when the others have been twice.
func TestHairpinComesLast(t *testing.T) {
	outside := netip.MustParseAddrPort("198.51.100.7:40000")
	l := newLink(peerOf("b", "10.66.0.2", at(identity.KindPrivate, inLAN), at(identity.KindObserved, outside)), t0, t0, netip.AddrPort{})
	l.rand = rand.New(rand.NewPCG(1, 2))
	lan := netip.PrefixFrom(inLAN.Addr().Next(), 24)
	l.offer(place{prefixes: []netip.Prefix{lan}, outside: []netip.Addr{outside.Addr()}}, t0)
	var tried []netip.AddrPort
	timing := Timing{}.WithDefaults()
	for now := t0; now.Before(t0.Add(15 * time.Second)); now = now.Add(100 * time.Millisecond) {
		if n := len(tried); n == 0 || tried[n-1] != l.paths.using {
			tried = append(tried, l.paths.using)
		}
		l.step(now, timing)
		if len(tried) == 1 && l.paths.using != inLAN && now.Sub(t0) < 2*timing.Trial {
			t.Errorf("%s is tried after %s", l.paths.using, now.Sub(t0))
		}
	}
	if len(tried) < 2 || tried[0] != inLAN || tried[1] != outside {
		t.Errorf("tried %v, want the LAN's address, then the one outside", tried)
	}
}
