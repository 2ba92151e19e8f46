package protocol

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	inNetwork = netip.MustParseAddrPort("10.0.0.7:51820")
	inLAN     = netip.MustParseAddrPort("192.168.1.7:51820")
	public    = netip.MustParseAddrPort("203.0.113.7:51820")
	public6   = netip.MustParseAddrPort("[2001:db8::7]:51820")
	seen      = netip.MustParseAddrPort("198.51.100.7:40000")
	t0        = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func candidateOf(a netip.AddrPort, c class) candidate { return candidate{addr: a, class: c} }

// pathsWith returns a choice among candidates that has just begun.
func pathsWith(cs ...candidate) *paths {
	p := &paths{}
	p.offer(cs, t0)
	p.start(t0)
	return p
}

func (p *paths) addrs() (out []netip.AddrPort) {
	for _, c := range p.list {
		out = append(out, c.addr)
	}
	return out
}

var sameAddr = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func TestPathsRank(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []candidate
		rtt  map[netip.AddrPort]time.Duration
		want []netip.AddrPort
	}{
		{
			"price first", []candidate{candidateOf(seen, classObserved), candidateOf(public, classPublic), candidateOf(inLAN, classLAN), candidateOf(inNetwork, classNetwork)},
			map[netip.AddrPort]time.Duration{seen: 1, inNetwork: time.Second}, []netip.AddrPort{inNetwork, inLAN, public, seen},
		},
		{
			"then the round trip", []candidate{candidateOf(public, classPublic), candidateOf(public6, classPublic)},
			map[netip.AddrPort]time.Duration{public: 20 * time.Millisecond, public6: 10 * time.Millisecond}, []netip.AddrPort{public6, public},
		},
		{
			"unknown is not fast", []candidate{candidateOf(public, classRelay), candidateOf(public6, classRelay)},
			map[netip.AddrPort]time.Duration{public6: time.Second}, []netip.AddrPort{public6, public},
		},
		{"as the record says", []candidate{candidateOf(public6, classPublic), candidateOf(public, classPublic)}, nil, []netip.AddrPort{public6, public}},
		{"twice the same", []candidate{candidateOf(public, classPublic), candidateOf(public, classObserved)}, nil, []netip.AddrPort{public}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &paths{}
			p.offer(tt.in, t0)
			for a, d := range tt.rtt {
				p.answered(a, d, t0)
			}
			p.rank()
			if d := cmp.Diff(tt.want, p.addrs(), sameAddr); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// run moves the choice on for some time, a tick at a time, and returns what it
// moved to, with the time in milliseconds; answer tells which addresses work.
func (p *paths) run(from time.Time, for_ time.Duration, s func(now time.Time) signs) (moves []string, end time.Time) {
	now := from
	for ; now.Sub(from) < for_; now = now.Add(50 * time.Millisecond) {
		kind := p.step(now, s(now))
		if kind != stepStay {
			verb := map[step]string{stepHop: "hop", stepShake: "shake"}[kind]
			moves = append(moves, fmt.Sprintf("%d %s %s", now.Sub(from).Milliseconds(), verb, p.using))
		}
	}
	return moves, now
}

func always(s signs) func(time.Time) signs { return func(time.Time) signs { return s } }

func TestSearch(t *testing.T) {
	dead := signs{silent: true, dwell: 1500 * time.Millisecond}
	yields, session := dead, dead
	yields.lag = 500 * time.Millisecond
	session.session = true
	both := []candidate{candidateOf(inNetwork, classNetwork), candidateOf(public, classPublic)}
	for _, tt := range []struct {
		name    string
		in      []candidate
		worked  netip.AddrPort // before it broke
		signs   signs
		forTime time.Duration
		want    []string
	}{
		{
			"never reached: in turn, more and more rarely", both, netip.AddrPort{}, dead, 13 * time.Second,
			[]string{"1500 shake 203.0.113.7:51820", "3000 shake 10.0.0.7:51820", "6000 shake 203.0.113.7:51820", "9000 shake 10.0.0.7:51820"},
		},
		{
			"the other side goes first", both, netip.AddrPort{}, yields, 5 * time.Second,
			[]string{"2000 shake 203.0.113.7:51820", "4000 shake 10.0.0.7:51820"},
		},
		{
			"broken while the session holds: at once, without a handshake", both, inNetwork, session, 5 * time.Second,
			[]string{"0 hop 203.0.113.7:51820", "500 shake 10.0.0.7:51820", "2000 shake 203.0.113.7:51820", "3500 shake 10.0.0.7:51820"},
		},
		{
			"broken, and nowhere else to go: the peer has time to call", both[:1], inNetwork, session, 5 * time.Second,
			[]string{"1500 shake 10.0.0.7:51820", "4500 shake 10.0.0.7:51820"},
		},
		{"nowhere to go", nil, netip.AddrPort{}, dead, 5 * time.Second, nil},
		{"not silent yet", both, inNetwork, signs{session: true, dwell: time.Second}, 5 * time.Second, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pathsWith(tt.in...)
			if tt.worked.IsValid() {
				p.heard(tt.worked, classPublic, t0)
				p.answered(tt.worked, time.Millisecond, t0)
			}
			got, _ := p.run(t0, tt.forTime, always(tt.signs))
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("moves (-want +got):\n%s", d)
			}
		})
	}
}

// An address where WireGuard hears the peer is not left because its daemon is
// slow to answer.
func TestSearchStaysWhereThePeerIsHeard(t *testing.T) {
	p := pathsWith(candidateOf(public, classPublic), candidateOf(public6, classPublic))
	heard := t0.Add(200 * time.Millisecond)
	got, _ := p.run(t0, 15*time.Second, always(signs{silent: true, heard: heard, dwell: time.Second}))
	if want := []string{"12200 shake [2001:db8::7]:51820"}; !slices.Equal(got, want) && (len(got) == 0 || got[0] != want[0]) {
		t.Errorf("moves: got %v, want none before 12 s", got)
	}
}

func TestUpgrade(t *testing.T) {
	good := signs{answers: true, session: true, dwell: time.Second}
	busy := good
	busy.busy = true
	for _, tt := range []struct {
		name   string
		steers bool
		signs  signs
		rtt    map[netip.AddrPort]time.Duration // of the addresses that answer
		forIt  time.Duration
		want   []string
		end    netip.AddrPort
	}{
		{
			"a cheaper one that answers stays", true, good, map[netip.AddrPort]time.Duration{inNetwork: 9 * time.Millisecond, public: 5 * time.Millisecond}, 10 * time.Second,
			[]string{"3000 hop 10.0.0.7:51820"}, inNetwork,
		},
		{
			"one that does not answer is left, and tried more and more rarely", true, good, map[netip.AddrPort]time.Duration{public: time.Millisecond}, 9 * time.Minute,
			[]string{"3000 hop 10.0.0.7:51820", "3500 hop 203.0.113.7:51820", "123500 hop 10.0.0.7:51820", "124000 hop 203.0.113.7:51820",
				"364000 hop 10.0.0.7:51820", "364500 hop 203.0.113.7:51820"}, public,
		},
		{"the other side steers", false, good, map[netip.AddrPort]time.Duration{inNetwork: 1, public: 1}, 5 * time.Minute, nil, public},
		{
			"users' traffic: not in the first minute", true, busy, map[netip.AddrPort]time.Duration{inNetwork: 1, public: 1}, 2 * time.Minute,
			[]string{"60000 hop 10.0.0.7:51820"}, inNetwork,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pathsWith(candidateOf(inNetwork, classNetwork), candidateOf(public, classPublic))
			p.steers = tt.steers
			p.heard(public, classPublic, t0)
			got, _ := p.run(t0, tt.forIt, func(now time.Time) signs {
				if d := tt.rtt[p.using]; d != 0 && now.Sub(p.since) >= d {
					p.answered(p.using, d, now)
				}
				return tt.signs
			})
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("moves (-want +got):\n%s", d)
			}
			if p.using != tt.end {
				t.Errorf("in the end: got %s, want %s", p.using, tt.end)
			}
		})
	}
}

// Of two addresses of one price the faster one is used, if it is clearly faster.
func TestUpgradeOfOnePrice(t *testing.T) {
	for _, tt := range []struct {
		name         string
		v4, v6       time.Duration
		want         netip.AddrPort
		trialsWithin int
	}{
		{"clearly faster", 30 * time.Millisecond, 10 * time.Millisecond, public6, 1},
		{"a little faster", 30 * time.Millisecond, 27 * time.Millisecond, public, 1},
		{"slower", 10 * time.Millisecond, 30 * time.Millisecond, public, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pathsWith(candidateOf(public, classPublic), candidateOf(public6, classPublic))
			p.steers = true
			trials, was := 0, false
			p.run(t0, 30*time.Minute, func(now time.Time) signs {
				p.answered(p.using, map[netip.AddrPort]time.Duration{public: tt.v4, public6: tt.v6}[p.using], now)
				if p.trial && !was {
					trials++
				}
				was = p.trial
				return signs{answers: true, session: true}
			})
			if p.using != tt.want {
				t.Errorf("got %s, want %s", p.using, tt.want)
			}
		})
	}
}

func TestHeardElsewhere(t *testing.T) {
	p := pathsWith(candidateOf(public, classPublic))
	p.answered(public, time.Millisecond, t0)
	p.heard(seen, classObserved, t0.Add(time.Second))
	if p.using != seen {
		t.Fatalf("using %s, want where the peer was heard from", p.using)
	}
	// A newer record moves nothing that works.
	p.offer([]candidate{candidateOf(inLAN, classLAN), candidateOf(public6, classPublic)}, t0)
	if p.using != seen || p.find(seen) == nil {
		t.Errorf("a record took the path in use away: using %s of %v", p.using, p.addrs())
	}
	// However often it moves, the list stays short.
	for i := range 100 {
		a := netip.AddrPortFrom(seen.Addr(), uint16(1000+i))
		p.heard(a, classObserved, t0)
		p.answered(a, time.Millisecond, t0.Add(time.Duration(i)*time.Second))
	}
	if got, want := len(p.list), 2+1+maxHeard; got != want {
		t.Errorf("%d addresses are kept, want %d: %v", got, want, p.addrs())
	}
}

// What the peer sent before it heard of a trial, still on the old way, does not
// end the trial; an answer on the new one does.
func TestTrialAndOldPackets(t *testing.T) {
	p := pathsWith(candidateOf(inLAN, classLAN), candidateOf(public, classPublic))
	p.steers = true
	p.heard(public, classPublic, t0)
	p.answered(public, time.Millisecond, t0)
	now := t0.Add(settleFor)
	good := signs{answers: true, session: true}
	if got := p.step(now, good); got != stepHop || !p.trial {
		t.Fatalf("step: got %v, want a trial", got)
	}
	p.heard(public, classPublic, now)
	p.answered(public, time.Millisecond, now)
	if !p.trial || p.using != inLAN {
		t.Fatalf("the trial ended by an old packet: using %s", p.using)
	}
	p.answered(inLAN, time.Millisecond, now)
	if p.trial || p.using != inLAN {
		t.Errorf("using %s, trial %v; want the new one, for good", p.using, p.trial)
	}
	// An answer from elsewhere: it stays there, and that address is put off.
	p = pathsWith(candidateOf(inLAN, classLAN), candidateOf(public, classPublic))
	p.steers = true
	p.heard(public, classPublic, t0)
	p.answered(public, time.Millisecond, t0)
	p.step(now, good)
	p.heard(seen, classObserved, now)
	if p.trial || p.using != seen || !p.find(inLAN).after.After(now) {
		t.Errorf("using %s, trial %v: want the address it is heard from", p.using, p.trial)
	}
}

func TestDropAndFresh(t *testing.T) {
	p := pathsWith(candidateOf(inLAN, classLAN), candidateOf(public, classPublic))
	p.drop(inLAN)
	if p.using.IsValid() || p.find(inLAN) != nil {
		t.Errorf("a refused address: using %s of %v", p.using, p.addrs())
	}
	p.start(t0)
	if p.using != public {
		t.Errorf("using %s, want the other one", p.using)
	}
	if got := p.fresh(t0); got != stepStay {
		t.Errorf("nothing new: got %v", got)
	}
	p.offer([]candidate{candidateOf(public, classPublic), candidateOf(public6, classPublic)}, t0)
	if got := p.fresh(t0); got != stepShake || p.using != public6 {
		t.Errorf("the peer moved: got %v to %s, want a handshake with the new address", got, p.using)
	}
}

func TestPulse(t *testing.T) {
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		name string
		do   func(u *pulse)
		at   int
		want bool
	}{
		{"never asked", func(*pulse) {}, 60_000, false},
		{"one lost probe", func(u *pulse) { u.sent(at(0)) }, 900, false},
		{"one probe, long ago", func(u *pulse) { u.sent(at(0)) }, 60_000, false},
		{"four in a second", func(u *pulse) { asked(u, at(0), 4) }, 1000, true},
		{"four in less", func(u *pulse) { asked(u, at(0), 4) }, 900, false},
		{"heard meanwhile", func(u *pulse) { asked(u, at(0), 4); u.heard() }, 1000, false},
		{"bytes came", func(u *pulse) { u.counted(1, 1, at(0)); asked(u, at(0), 4); u.counted(2, 9, at(800)) }, 1000, false},
		{"a far peer has more time", func(u *pulse) { u.answered(600 * time.Millisecond); asked(u, at(0), 4) }, 2000, false},
		{"but not for ever", func(u *pulse) { u.answered(600 * time.Millisecond); asked(u, at(0), 5) }, 2400, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &pulse{}
			tt.do(u)
			if got := u.silent(at(tt.at)); got != tt.want {
				t.Errorf("silent: got %v, want %v", got, tt.want)
			}
		})
	}
}

// asked sends n probes, each a quarter of a second after the one before.
func asked(u *pulse, from time.Time, n int) {
	for i := range n {
		u.sent(from.Add(time.Duration(i) * suspectEvery))
	}
}

func TestPulseCounters(t *testing.T) {
	for _, tt := range []struct {
		name          string
		rx, tx        int64 // a second after 1000 and 1000
		suspect, busy bool
	}{
		{"idle", 1000, 1000, false, false},
		{"sent, nothing back", 1000, 1500, true, false},
		{"both ways", 1500, 1500, false, false},
		{"only received", 1500, 1000, false, false},
		{"a stream", 9000, 90_000, false, true},
		{"into the void", 1000, 90_000, true, true},
		{"taken out and put back", 0, 148, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &pulse{}
			u.counted(1000, 1000, t0)
			if got := u.counted(tt.rx, tt.tx, t0.Add(time.Second)); got != tt.suspect || u.busy != tt.busy {
				t.Errorf("suspect %v, busy %v; want %v, %v", got, u.busy, tt.suspect, tt.busy)
			}
		})
	}
}

func TestPulseRetry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rtt    time.Duration
		probes int
		want   time.Duration
	}{
		{"never answered", 0, 1, time.Second},
		{"near", time.Millisecond, 1, suspectEvery},
		{"far", 300 * time.Millisecond, 1, 600 * time.Millisecond},
		{"very far", 900 * time.Millisecond, 1, time.Second},
		{"long silent", time.Millisecond, 9, time.Second},
	} {
		u := &pulse{rtt: tt.rtt, probes: tt.probes}
		if got := u.retry(time.Second); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}
