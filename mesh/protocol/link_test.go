package protocol

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// far is a peer over a simulated path: it answers at some addresses.
type far struct {
	l       *link
	timing  Timing
	now     time.Time
	answers map[netip.AddrPort]time.Duration // round trips, by address; it is silent at others
	session bool                             // there is one with the device
	away    map[time.Time][]uint64           // answers on their way, by when they come
	device  overlay.PeerStatus
	resets  int
	sent    int
}

func newFar(endpoints ...identity.Endpoint) *far {
	s := &identity.Signed{Grant: identity.Grant{Node: "b"}, Record: identity.Record{Node: "b", Endpoints: endpoints}}
	f := &far{now: t0, timing: Timing{}.WithDefaults(), answers: map[netip.AddrPort]time.Duration{}, away: map[time.Time][]uint64{}}
	f.l = newLink(s, t0, t0, netip.AddrPort{})
	f.l.rand = rand.New(rand.NewPCG(1, 2))
	f.l.paths.steers = true
	f.l.offer(place{network: "n"}, t0)
	f.device.Endpoint = f.l.paths.using
	return f
}

// run lets time pass, 50 ms at a time, until the condition holds; it returns how
// long that took, and false if it did not happen in time.
func (f *far) run(within time.Duration, until func() bool) (time.Duration, bool) {
	from := f.now
	for ; f.now.Sub(from) < within; f.now = f.now.Add(50 * time.Millisecond) {
		if until() {
			return f.now.Sub(from), true
		}
		f.turn()
	}
	return within, until()
}

func (f *far) turn() {
	for at, nonces := range f.away {
		if f.now.Before(at) {
			continue
		}
		delete(f.away, at)
		for _, n := range nonces {
			f.device.RxBytes += 112
			f.l.heard(f.now)
			f.l.answered(n, f.now, f.timing.Echo)
		}
	}
	second := f.now.Sub(t0)%time.Second == 0
	if second || f.l.mustObserve(f.now, f.timing) {
		f.l.observe(f.device, f.now)
	}
	f.l.step(f.now, f.timing)
	var nonce uint64
	ask := f.l.probeDue(f.now)
	if ask {
		nonce = f.l.probe(f.now, f.timing, f.timing.Echo, 0)
	}
	if f.l.reset {
		f.l.reset, f.session = false, false
		f.resets++
		f.device.LastHandshake, f.device.RxBytes, f.device.TxBytes = time.Time{}, 0, 0
	}
	f.device.Endpoint = f.l.paths.using // the device is set
	if !ask {
		return
	}
	f.sent++
	f.device.TxBytes += 112
	trip, ok := f.answers[f.device.Endpoint]
	if !ok {
		return
	}
	if !f.session {
		f.session = true
		f.device.LastHandshake = f.now
		f.device.RxBytes += 92
	}
	at := f.now.Add(trip)
	f.away[at] = append(f.away[at], nonce)
}

func at(k identity.EndpointKind, a netip.AddrPort) identity.Endpoint {
	return identity.Endpoint{Addr: a, Kind: k}
}

func TestLinkTriesCandidatesInTurn(t *testing.T) {
	f := newFar(at(identity.KindPublic, public), at(identity.KindPublic, public6))
	var tried []netip.AddrPort
	f.run(50*time.Second, func() bool {
		if e := f.l.paths.using; len(tried) == 0 || tried[len(tried)-1] != e {
			tried = append(tried, e)
		}
		return false
	})
	if len(tried) < 6 || len(tried) > 12 { // 1.5 s each would be 33
		t.Errorf("tried in 50 s: got %v, want both in turn, more and more rarely", tried)
	}
	if st, why := f.l.state(f.now); st != StateUnreachable || why == "" {
		t.Errorf("state: got %s (%s), want unreachable with a reason", st, why)
	}
	f.answers[public6] = 10 * time.Millisecond
	if took, ok := f.run(time.Minute, f.l.up); !ok {
		t.Errorf("not up %s after it answers", took)
	}
	// It comes from an address that nobody named: that one stays.
	f.answers[seen] = 10 * time.Millisecond
	f.device.Endpoint, f.device.RxBytes = seen, f.device.RxBytes+128
	f.l.observe(f.device, f.now)
	f.run(5*time.Second, func() bool { return false })
	if !f.l.learn(f.now) || f.l.learned != seen {
		t.Errorf("learned %s, want %s", f.l.learned, seen)
	}
	f.l.signed.Record.Endpoints = append(f.l.signed.Record.Endpoints, at(identity.KindObserved, inLAN))
	f.l.offer(place{}, f.now)
	if f.l.paths.using != seen || f.l.reset {
		t.Errorf("new candidates moved a working path to %s", f.l.paths.using)
	}
}

// A path that breaks is noticed within about a second and the next address is
// in use, without a handshake.
func TestLinkFailsOver(t *testing.T) {
	for _, tt := range []struct {
		name string
		busy bool // traffic goes on
		want time.Duration
	}{
		{"with traffic", true, 3 * time.Second},
		{"idle", false, 5500 * time.Millisecond}, // the next probe may be 3.6 s away
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFar(at(identity.KindPrivate, inNetwork), at(identity.KindPublic, public))
			f.l.signed.Record.Network = "n"
			f.l.offer(place{network: "n"}, t0)
			f.l.paths.start(t0)
			f.answers[inNetwork], f.answers[public] = time.Millisecond, 20*time.Millisecond
			if _, ok := f.run(5*time.Second, f.l.up); !ok || f.l.paths.using != inNetwork {
				t.Fatalf("using %s, want the network's address", f.l.paths.using)
			}
			f.run(20*time.Second, func() bool { return false })
			resets := f.resets
			delete(f.answers, inNetwork)
			broke := f.now
			took, ok := f.run(20*time.Second, func() bool {
				if tt.busy {
					f.device.TxBytes += 1000
				}
				return f.l.paths.using == public && f.l.answer.After(broke.Add(50*time.Millisecond))
			})
			if !ok || took > tt.want {
				t.Errorf("on the other address after %s, want %s", took, tt.want)
			}
			if f.resets != resets {
				t.Errorf("%d handshakes were forced, want none", f.resets-resets)
			}
		})
	}
}

// A path that loses some packets is not left.
func TestLinkStaysOnALossyPath(t *testing.T) {
	f := newFar(at(identity.KindPublic, public), at(identity.KindPublic, public6))
	f.l.paths.steers = false
	chance := rand.New(rand.NewPCG(3, 4))
	f.answers[public] = 30 * time.Millisecond
	f.run(5*time.Second, f.l.up)
	left, down := 0, 0
	f.run(6*time.Hour, func() bool {
		f.answers = map[netip.AddrPort]time.Duration{}
		if chance.IntN(100) >= 4 { // two of a hundred, each way
			f.answers[public] = 30 * time.Millisecond
		}
		if f.l.paths.using != public {
			left++
		}
		if !f.l.up() {
			down++
		}
		return false
	})
	if left > 0 || down > 0 {
		t.Errorf("in six hours at 2%% loss: %d turns elsewhere, %d not up", left, down)
	}
}

// The pair's trials are rare, and what is not better costs no more than them.
func TestLinkUpgrades(t *testing.T) {
	f := newFar(at(identity.KindPublic, public))
	f.answers[public] = 5 * time.Millisecond
	if _, ok := f.run(5*time.Second, f.l.up); !ok {
		t.Fatal("not up")
	}
	f.l.signed.Record.Network = "n"
	f.l.signed.Record.Endpoints = append(f.l.signed.Record.Endpoints, at(identity.KindPrivate, inNetwork))
	f.l.offer(place{network: "n"}, f.now)
	f.run(2*time.Minute, func() bool { return false })
	if f.l.paths.using != public || !f.l.up() {
		t.Fatalf("using %s, up %v, want what works", f.l.paths.using, f.l.up())
	}
	if c := f.l.paths.find(inNetwork); c.tries == 0 || c.tries > 2 {
		t.Errorf("the cheaper one was tried %d times in 2 minutes, want 1 or 2", c.tries)
	}
	f.answers[inNetwork] = time.Millisecond
	took, ok := f.run(3*time.Minute, func() bool { return f.l.paths.using == inNetwork && !f.l.paths.trial })
	if !ok {
		t.Fatalf("not on the cheaper address %s after it works", took)
	}
	f.run(time.Minute, func() bool { return false })
	if f.l.paths.using != inNetwork || f.resets != 0 {
		t.Errorf("using %s, %d handshakes forced", f.l.paths.using, f.resets)
	}
}

// Who only repeats handshakes does not hear us: that is no sign of life.
func TestHandshakesOnly(t *testing.T) {
	for n, want := range map[int64]bool{
		148: true, 92: true, 240: true, 296: true, 184: true, 444: true, 388: true,
		32: false, 112: false, 128: false, 160: false, 1452: false, 149: false, 148 + 32: false,
	} {
		if got := handshakesOnly(n); got != want {
			t.Errorf("%d bytes: got %v, want %v", n, got, want)
		}
	}
}

// A peer whose record says that it stopped may answer before its new record is
// here. It is not asked again at once each time: that would go on as fast as
// packets travel.
func TestAnswersOfAnAwayPeerArePaced(t *testing.T) {
	s := &identity.Signed{Grant: identity.Grant{Node: "b"}, Record: identity.Record{Node: "b", Away: true}}
	l := newLink(s, t0, t0, public)
	l.rand = rand.New(rand.NewPCG(1, 2))
	l.greet = t0.Add(greetFor)
	l.offer(place{}, t0)
	asked := 0
	for range 100 {
		if l.step(t0, Timing{}.WithDefaults()); !l.probeDue(t0) {
			break
		}
		nonce := l.probe(t0, Timing{}.WithDefaults(), 3*time.Second, 0)
		asked++
		l.answered(nonce, t0, 3*time.Second)
	}
	if asked > 2 {
		t.Errorf("asked %d times in no time, want at most 2", asked)
	}
}

func TestLinkRefuses(t *testing.T) {
	f := newFar(at(identity.KindPublic, public), at(identity.KindPublic, public6))
	f.l.refuse(public)
	if f.l.paths.using != public6 {
		t.Errorf("using %s, want the other one", f.l.paths.using)
	}
	f.l.offer(place{}, f.now)
	if f.l.paths.find(public) != nil {
		t.Error("a refused address is back with the next record")
	}
	got := f.l.way(f.now).Candidates
	if i := slices.IndexFunc(got, func(c Candidate) bool { return c.Endpoint == public && c.Verdict == VerdictRefused }); i < 0 {
		t.Errorf("the refused address is not shown: %+v", got)
	}
}

func TestWayVerdicts(t *testing.T) {
	f := newFar(at(identity.KindPublic, public), at(identity.KindPublic, public6), at(identity.KindObserved, seen))
	f.answers[public6] = time.Millisecond
	f.run(10*time.Second, f.l.up)
	f.run(time.Second, func() bool { return false })
	want := map[netip.AddrPort]Verdict{public: VerdictNoAnswer, public6: VerdictInUse, seen: VerdictNotTried}
	w := f.l.way(f.now)
	for _, c := range w.Candidates {
		if want[c.Endpoint] != c.Verdict {
			t.Errorf("%s: got %q, want %q", c.Endpoint, c.Verdict, want[c.Endpoint])
		}
	}
	if w.Endpoint != public6 || w.Class != "public" || w.State != "up" || len(w.Candidates) != 3 {
		t.Errorf("got %+v", w)
	}
}

func TestSteers(t *testing.T) {
	plain, nat := identity.Record{}, identity.Record{Endpoints: []identity.Endpoint{at(identity.KindObserved, seen)}}
	signed := func(name string, r identity.Record) *identity.Signed {
		return &identity.Signed{Grant: identity.Grant{Node: name}, Record: r}
	}
	for _, tt := range []struct {
		name string
		a, b identity.Record
		want string // "a", "b", or "one" of them
	}{
		{"only one behind a NAT", nat, plain, "a"},
		{"the other", plain, nat, "b"},
		{"none", plain, plain, "one"},
		{"both", nat, nat, "one"},
	} {
		a, b := signed("a", tt.a), signed("b", tt.b)
		if steers(a, b) == steers(b, a) {
			t.Errorf("%s: not exactly one of them steers", tt.name)
		}
		if tt.want != "one" && steers(a, b) != (tt.want == "a") {
			t.Errorf("%s: a steers %v, want %s to", tt.name, steers(a, b), tt.want)
		}
	}
}

// Once there is a session the first answer is not a second away because a
// packet was lost.
func TestFirstContactIsAskedAgainSoon(t *testing.T) {
	f := newFar(at(identity.KindPublic, public))
	f.turn()
	f.device.LastHandshake, f.device.RxBytes = t0, 92
	f.now = t0.Add(time.Second) // the probe is lost, the handshake was not
	f.turn()
	if wait := f.l.nextAsk.Sub(f.now); wait > suspectEvery {
		t.Errorf("asked again after %s, want %s", wait, suspectEvery)
	}
}

// What the device keeps until there is a session is not sent again, and a busy
// host, on which all answers take long, does not ask as if each was lost.
func TestFirstContactIsNotAskedTooOften(t *testing.T) {
	f := newFar(at(identity.KindPublic, public))
	f.l.repeats = true
	for range 10 {
		f.now = f.now.Add(time.Second)
		f.turn()
	}
	if f.l.askedN > 3 {
		t.Errorf("%d probes in 10 s without a session, want 3 at most", f.l.askedN)
	}
	l := newLink(f.l.signed, t0, t0, netip.AddrPort{})
	l.rand, l.status.LastHandshake = f.l.rand, t0
	l.probe(t0, f.timing, f.timing.Echo, 300*time.Millisecond)
	if wait := l.nextAsk.Sub(t0); wait != 600*time.Millisecond {
		t.Errorf("asked again after %s where answers take 300 ms, want 600 ms", wait)
	}
}

// Of two peers it is enough that one asks, for some time.
func TestOneAsksForBoth(t *testing.T) {
	l := newLink(&identity.Signed{}, t0, t0, netip.AddrPort{})
	l.rand = newFar(at(identity.KindPublic, public)).l.rand
	const every = 3 * time.Second
	now := t0
	for i := range 2 { // the first answer's round trip includes a handshake
		nonce := l.probe(now, Timing{}.WithDefaults(), every, 0)
		now = now.Add(time.Millisecond * time.Duration(i+1))
		l.answered(nonce, now, every)
	}
	answered := now
	for now.Sub(answered) < 2*every-every/2 {
		now = now.Add(every / 2)
		l.asks(now, every)
		if wait := l.nextAsk.Sub(now); wait < every && now.Sub(answered) < 2*every {
			t.Errorf("asks itself %s after the peer did, %s after its own answer", wait, now.Sub(answered))
		}
	}
	for range 6 {
		now = now.Add(every / 2)
		l.asks(now, every)
	}
	if l.nextAsk.After(now) {
		t.Errorf("no probe of its own for %s", now.Sub(answered))
	}
}

// An answer that was under way when the peer's record named another key was
// given with the old one.
func TestOldKeyProvesNothing(t *testing.T) {
	key := func(b byte) *identity.Signed {
		return &identity.Signed{Record: identity.Record{WireGuardKey: identity.Bytes32{b}}}
	}
	l := newLink(key(1), t0, t0, netip.AddrPort{})
	l.rand = newFar(at(identity.KindPublic, public)).l.rand
	nonce := l.probe(t0, Timing{}.WithDefaults(), 3*time.Second, 0)
	l.update(key(2), t0, t0)
	if l.answered(nonce, t0.Add(time.Second), 3*time.Second); l.proved {
		t.Error("an answer with the old key proves the new one")
	}
}
