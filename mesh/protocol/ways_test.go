package protocol

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/identity"
)

// machineWith returns a machine that knows some peers and has done nothing yet.
func machineWith(self identity.Record, peers ...*identity.Signed) *Machine {
	m := &Machine{
		now: t0, grant: identity.Grant{Node: "self", IP: netip.MustParseAddr("10.66.0.1")}, book: newBook(), links: map[string]*link{},
		clashes: map[string]string{}, gone: map[string]error{}, timing: Timing{}.WithDefaults(), rand: rand.New(rand.NewPCG(1, 2)),
		where: whereabouts{port: 51820, overlay: []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16")}},
	}
	m.log = logger{m}
	m.self = &identity.Signed{Grant: m.grant, Record: self}
	for _, s := range peers {
		name := s.Grant.Node
		m.book.records[name] = s
		l := newLink(s, t0, t0, netip.AddrPort{})
		l.rand = m.rand
		l.offer(place{overlay: m.where.overlay}, t0)
		l.paths.steers = steers(m.self, s)
		m.links[name] = l
		m.names = append(m.names, name)
	}
	return m
}

func peerOf(name string, ip string, endpoints ...identity.Endpoint) *identity.Signed {
	g := identity.Grant{Node: name, IP: netip.MustParseAddr(ip)}
	return &identity.Signed{Grant: g, Record: identity.Record{Node: name, Endpoints: endpoints}}
}

func TestStandings(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2", at(identity.KindPublic, public)))
	left := peerOf("left", "10.66.0.3")
	left.Record.Left = true
	m.book.records["left"], m.book.records["twin"] = left, peerOf("twin", "10.66.0.2")
	m.clashes["twin"] = "overlay address 10.66.0.2 is also granted to b"
	m.gone["bad"], m.gone["old"] = identity.ErrRevoked, identity.ErrExpired
	for name, want := range map[string]Standing{
		"self": StandingSelf, "b": StandingMember, "left": StandingLeft, "twin": StandingRefused,
		"bad": StandingRevoked, "old": StandingExpired, "nobody": StandingUnknown,
	} {
		c := m.Why(name, t0)
		if c.Standing != want {
			t.Errorf("%s: got %s, want %s", name, c.Standing, want)
		}
		if c.Explain().Summary == "" {
			t.Errorf("%s: no words", name)
		}
	}
	if c := m.Why("twin", t0); c.Reason != m.clashes["twin"] {
		t.Errorf("reason: %q", c.Reason)
	}
	if c := m.Why("c", t0); !c.Alone || len(c.Near) == 0 || c.Near[0] != "b" {
		t.Errorf("an unknown name: %+v, want b proposed", c)
	}
}

func TestMachineWay(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2", at(identity.KindPublic, public)))
	w, ok := m.Way("b", t0)
	if !ok || w.State != "connecting" || w.Steers != "self" && w.Steers != "b" || len(w.Candidates) != 1 || w.Candidates[0].Verdict != VerdictTrying {
		t.Errorf("got %+v, %v", w, ok)
	}
	if _, ok := m.Way("c", t0); ok {
		t.Error("a way to nobody")
	}
}

func TestSighted(t *testing.T) {
	observed := at(identity.KindObserved, seen)
	for _, tt := range []struct {
		name string
		self whereabouts
		from netip.AddrPort // the peer is heard from there
		at   netip.AddrPort
		want []netip.AddrPort
	}{
		{"from outside", whereabouts{}, public, seen, []netip.AddrPort{seen}},
		{"by one in our own subnet", whereabouts{prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.9/24")}}, inLAN, seen, nil},
		{"at an address of our own", whereabouts{prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}}, public, seen, nil},
		{"at one that we advertise", whereabouts{advertise: []netip.Addr{seen.Addr()}}, public, seen, nil},
		{"inside the overlay", whereabouts{}, public, netip.MustParseAddrPort("10.66.0.9:1"), nil},
		{"at a private address", whereabouts{}, public, inNetwork, nil},
		{"unknown", whereabouts{}, public, netip.AddrPort{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2", at(identity.KindPublic, public)))
			tt.self.port, tt.self.overlay = m.where.port, m.where.overlay
			m.where = tt.self
			l := m.links["b"]
			l.here = place{prefixes: m.where.prefixes, overlay: m.where.overlay}
			l.status.Endpoint = tt.from
			m.sighted("b", l, tt.at)
			if d := cmp.Diff(tt.want, m.where.seen, sameAddr); d != "" {
				t.Errorf("seen (-want +got):\n%s", d)
			}
			if published := len(m.out) > 0; published != (tt.want != nil) {
				t.Errorf("published: %v: %+v", published, m.out)
			}
		})
	}
	w := whereabouts{port: 51820, observed: seen.Addr(), seen: []netip.AddrPort{seen}}
	if d := cmp.Diff([]identity.Endpoint{observed}, w.endpoints(), sameAddr); d != "" {
		t.Errorf("the introducer's guess beside what peers see (-want +got):\n%s", d)
	}
}

// Behind a hard NAT there is nothing to publish, from the first record on; `why`
// names the NAT nevertheless.
func TestWhyBehindHardNAT(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2", at(identity.KindPrivate, inLAN), at(identity.KindObserved, public)))
	if c := m.Why("b", t0); c.SelfNATed || c.SelfHard || !c.PeerNATed {
		t.Errorf("nobody has seen this node: %+v", c)
	}
	m.sightings.take("c", seen, t0)
	m.sightings.take("d", netip.AddrPortFrom(seen.Addr(), seen.Port()+1), t0)
	if c := m.Why("b", t0); !c.SelfNATed || !c.SelfHard {
		t.Errorf("seen at two ports: %+v", c)
	}
}

// What peers are told of their address is where they are heard from, and
// nothing that this node itself tries.
func TestSeen(t *testing.T) {
	f := newFar(at(identity.KindPublic, public), at(identity.KindPublic, public6))
	if got := f.l.seen(); got.IsValid() {
		t.Errorf("never heard: told %s", got)
	}
	f.answers[public] = time.Millisecond
	f.run(3*time.Second, func() bool { return false })
	if got := f.l.seen(); got != public {
		t.Errorf("told %s, want %s", got, public)
	}
	f.l.paths.trial, f.l.paths.using = true, public6
	f.l.status.Endpoint = public6
	if got := f.l.seen(); got.IsValid() {
		t.Errorf("on trial: told %s", got)
	}
}

// One that answers is asked where those are that do not, one request at a time.
func TestAskAround(t *testing.T) {
	m := machineWith(identity.Record{}, peerOf("b", "10.66.0.2"), peerOf("c", "10.66.0.3"), peerOf("d", "10.66.0.4"))
	m.roots, m.wants = newAuthority(t).roots, newWants()
	m.links["c"].lost, m.links["d"].lost = true, true
	m.askAround()
	if len(m.out) != 0 {
		t.Fatalf("nobody answers, and is asked: %+v", m.out)
	}
	m.links["b"].answer = t0
	m.askAround()
	m.links["d"].lost, m.wants.asking["b"] = true, false
	m.askAround() // too soon
	if len(m.out) != 1 {
		t.Fatalf("got %+v, want one request", m.out)
	}
	f, ok := m.out[0].(Fetch)
	if want := []string{"c", "d"}; !ok || f.From != "b" || !cmp.Equal(f.Request.Names, want) {
		t.Errorf("got %+v, want b asked for %v", m.out[0], want)
	}
}
