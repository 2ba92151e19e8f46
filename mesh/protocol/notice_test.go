package protocol

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

func TestParseNotice(t *testing.T) {
	good := Notice{[]byte("an envelope")}
	wire := good.Append(nil)
	for _, tt := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"right", wire, true},
		{"the longest", Notice{make([]byte, maxNotice-3)}.Append(nil), true},
		{"too long", Notice{make([]byte, maxNotice-2)}.Append(nil), false},
		{"without an envelope", Notice{}.Append(nil), false},
		{"an echo", Echo{Kind: EchoAsk}.Append(nil), false},
		{"of another format", append([]byte{Magic, Format + 1, KindNotice}, 1), false},
		{"empty", nil, false},
	} {
		if _, err := ParseNotice(tt.b); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	n, err := ParseNotice(wire)
	clear(wire)
	if err != nil || !bytes.Equal(n.Envelope, good.Envelope) {
		t.Errorf("got %q, %v; want what was sent, in memory of its own", n.Envelope, err)
	}
}

func FuzzNotice(f *testing.F) {
	f.Add(Notice{[]byte("an envelope")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := ParseNotice(b); err == nil && !bytes.Equal(n.Append(nil), b) {
			t.Errorf("%x does not encode back", b)
		}
	})
}

// busyMachine is one whose sockets are open. Peers that are named are up.
func busyMachine(peers []*identity.Signed, up ...string) *Machine {
	m := machineWith(identity.Record{}, peers...)
	m.opened, m.debts, m.pushes, m.byIP = true, map[string]*debt{}, map[uint64]func([]string){}, map[netip.Addr]string{}
	for name, l := range m.links {
		m.byIP[l.signed.Grant.IP] = name
		l.signed.Envelope = []byte("record of " + name)
	}
	for _, name := range up {
		m.links[name].answer = m.now
	}
	m.self.Envelope = []byte("own record")
	return m
}

// sent returns the actions of a kind since the last call.
func sent[A Action](m *Machine) (as []A) {
	for _, a := range m.out {
		if a, ok := a.(A); ok {
			as = append(as, a)
		}
	}
	m.out = nil
	return as
}

// A new record goes to everyone who is reached, and to others by other ways.
func TestNotify(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2"), peerOf("b", "10.66.0.3"), peerOf("c", "10.66.0.4")}, "a", "c")
	m.notify()
	got := sent[SendNotice](m)
	if len(got) != 2 || got[0].To != netip.MustParseAddr("10.66.0.2") || got[1].To != netip.MustParseAddr("10.66.0.4") {
		t.Errorf("sent %+v, want notices to a and c", got)
	}
	m.self.Envelope = make([]byte, maxNotice)
	m.links["a"].nextAsk = m.now.Add(time.Hour)
	m.notify()
	if got := sent[SendNotice](m); len(got) != 0 || m.links["a"].nextAsk != m.now {
		t.Errorf("a record too long for a packet: sent %d, asked at %s; want none, and at once", len(got), m.links["a"].nextAsk)
	}
}

// To verify what a member sends costs something: it may send some and no more.
func TestNoticesAreBounded(t *testing.T) {
	m := busyMachine([]*identity.Signed{peerOf("a", "10.66.0.2")}, "a")
	m.cfg.Open = func(*identity.Roots, []byte, time.Time) (*identity.Signed, error) { return nil, identity.ErrFormat }
	garbage := NoticeReceived{From: netip.MustParseAddr("10.66.0.2"), Notice: Notice{[]byte("garbage")}}
	for range 3 * noticeBurst {
		garbage.apply(m)
	}
	counts := map[Metric]int{}
	for _, c := range sent[Count](m) {
		counts[c.Metric]++
	}
	if counts[MetricRecords] != noticeBurst || counts[MetricRefused] != 2*noticeBurst {
		t.Errorf("counted %v, want %d records and twice that refused", counts, noticeBurst)
	}
	NoticeReceived{From: netip.MustParseAddr("10.66.0.9"), Notice: garbage.Notice}.apply(m)
	if got := sent[Count](m); len(got) != 0 {
		t.Errorf("of a stranger: %+v", got)
	}
}
