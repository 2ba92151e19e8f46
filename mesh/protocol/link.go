package protocol

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// link is what a node knows of its way to one peer. It is a pure state
// machine: time and events come in as arguments, actions go out as results.
type link struct {
	signed *identity.Signed
	since  time.Time     // the present attempt to reach the peer began
	quiet  time.Time     // until then nothing is sent unasked
	lag    time.Duration // added to each attempt, see yieldFor
	rand   *rand.Rand    // all chance
	greet  time.Time     // until then even an away peer is called, for it may be back

	// Probes.
	asked   [8]ask // the last ones, ring
	askedN  int
	nextAsk time.Time
	proved  bool          // it has answered with its present key, so it holds that key
	misses  int           // probes without an answer since the last one answered
	answer  time.Time     // the last one, zero if none since the peer last came
	rtt     time.Duration // of that
	pulse   pulse
	notices budget // that it may send

	// The path.
	paths   paths
	here    place          // this node's
	learned netip.AddrPort // worked last, for the next start
	refused []netip.AddrPort
	repeats bool            // the device repeats handshakes
	spoiled int             // handshakes that were
	shaken  time.Time       // so the last time for the address in use
	reset   bool            // take the peer out of the device and put it back: starts a handshake at once
	known   bool            // the device has been told of the peer, or is about to be
	told    *netip.AddrPort // the endpoint that the device was told; nil before, and while it is reset
	sought  time.Time       // it was so the last time because it does not call
	lost    bool            // it does not answer where it was tried: others may know better
	confirm bool            // an answer came while addresses are tried: the device knows from where
	trip    time.Duration   // of that answer, 0 if it waited for a handshake

	// What the device said last.
	status   overlay.PeerStatus
	lastRx   time.Time // bytes came in, or a handshake
	lastData time.Time // more than handshakes came in
}

type ask struct {
	nonce uint64
	at    time.Time
}

// shakeEvery is how often a handshake with one address is started anew by a
// device that repeats its own.
const shakeEvery = 4 * time.Second

// seekEvery is how often others are asked about a peer that does not call.
const seekEvery = 5 * time.Second

// stuckFor is how long a handshake may take until it counts as spoiled, on the
// side that goes first.
const stuckFor = time.Second

// lostAfter is how many silent probes make a peer unreachable.
const lostAfter = 4

func newLink(s *identity.Signed, now, quiet time.Time, learned netip.AddrPort) *link {
	l := &link{signed: s, since: now, quiet: quiet, learned: learned, proved: learned.IsValid(), nextAsk: quiet}
	if learned.IsValid() {
		l.paths.remember(learned)
	}
	return l
}

// update takes a newer record of the peer. A record of another WireGuard key,
// or of a peer that was away, starts the attempt to reach it anew.
func (l *link) update(s *identity.Signed, now, quiet time.Time) {
	old := l.signed
	l.signed = s
	if old.Record.WireGuardKey != s.Record.WireGuardKey {
		l.proved, l.told, l.asked, l.learned = false, nil, [len(l.asked)]ask{}, netip.AddrPort{}
	}
	if old.Record.WireGuardKey != s.Record.WireGuardKey || old.Record.Away {
		l.since, l.quiet, l.nextAsk = now, quiet, quiet
		l.answer, l.misses = time.Time{}, 0
		l.pulse.heard()
		l.paths.start(laterOf(now, quiet))
	}
}

// offer sets the candidates, as seen from a place. The endpoint in use stays as
// long as it works.
func (l *link) offer(here place, now time.Time) {
	l.here = here
	named := slices.DeleteFunc(candidates(here, l.signed.Record), func(c candidate) bool { return slices.Contains(l.refused, c.addr) })
	l.paths.offer(named, now)
	for i := range l.paths.list {
		if c := &l.paths.list[i]; !c.named {
			c.class = classOf(here, c.addr, l.signed.Record)
		}
	}
	l.paths.rank()
	before := l.paths.using
	switch {
	case !before.IsValid():
		l.paths.start(laterOf(now, l.quiet))
	case l.up() || l.live(now):
		return
	default:
		l.paths.fresh(laterOf(now, l.quiet))
	}
	// WireGuard may be waiting to try the old one again, or, where there was
	// none, has failed to send and waits as long: for 5 s.
	if l.known && l.paths.using != before && l.paths.using.IsValid() {
		l.reset = true
	}
}

// refuse takes an endpoint out for good, since the device takes it for no peer.
func (l *link) refuse(e netip.AddrPort) {
	l.refused = append(l.refused, e)
	if l.learned == e {
		l.learned = netip.AddrPort{}
	}
	since := l.paths.since
	l.paths.drop(e)
	if !l.paths.using.IsValid() {
		l.paths.start(since)
	}
}

// pathless reports whether there is nowhere to send to: the peer has to call.
func (l *link) pathless() bool {
	return !l.paths.using.IsValid() && !l.status.Endpoint.IsValid() && l.lastRx.IsZero()
}

func (l *link) up() bool { return !l.answer.IsZero() && l.misses < lostAfter && !l.signed.Record.Away }

// live reports whether WireGuard hears the peer, whatever our probes say. Bytes
// without a handshake that was completed are none: when two nodes call each
// other at the same moment, each drops the other's answer. Nor are more
// handshakes: who only repeats them does not hear us.
func (l *link) live(now time.Time) bool {
	return !l.lastData.IsZero() && now.Sub(l.lastData) < heardFor && !l.status.LastHandshake.IsZero()
}

// isQuiet reports whether nothing is to be sent unasked.
func (l *link) isQuiet(now time.Time) bool {
	return now.Before(l.quiet) || l.pathless() || l.signed.Record.Away && !now.Before(l.greet)
}

// observe takes what the device says of the peer.
func (l *link) observe(s overlay.PeerStatus, now time.Time) {
	came := s.RxBytes - l.status.RxBytes
	if came < 0 { // it was taken out and put back
		came = s.RxBytes
	}
	shaken := s.LastHandshake.After(l.status.LastHandshake)
	if came > 0 || shaken {
		l.lastRx, l.reset = now, false
	}
	if shaken && l.answer.IsZero() { // now a probe gets through
		l.nextAsk = earlier(l.nextAsk, now.Add(suspectEvery))
	}
	if came > 0 && !handshakesOnly(came) {
		l.lastData = now
	}
	suspect := l.pulse.counted(s.RxBytes, s.TxBytes, now)
	if suspect && l.up() && l.nextAsk.After(now) && now.Sub(l.lastAsk()) >= suspectEvery {
		l.nextAsk = now
	}
	l.status = s
	if !sendable(s.Endpoint, l.here.overlay) {
		return
	}
	if came > 0 || shaken {
		l.paths.heard(s.Endpoint, classOf(l.here, s.Endpoint, l.signed.Record), now)
	}
	if l.confirm {
		l.confirm = false
		l.paths.answered(s.Endpoint, l.trip, now)
	}
}

// lastAsk is when the last probe went out, zero if none did.
func (l *link) lastAsk() time.Time { return l.asked[(l.askedN+len(l.asked)-1)%len(l.asked)].at }

// handshakesOnly reports whether so many bytes are but a few messages of
// handshakes, of 148 and 92 bytes. Those of data are of 16 times n.
func handshakesOnly(n int64) bool {
	for i := range int64(4) {
		if rest := n - 148*i; rest >= 0 && rest <= 3*92 && rest%92 == 0 {
			return true
		}
	}
	return false
}

// learned is where a peer answered in the last run, and with which key.
type learned struct {
	endpoint netip.AddrPort
	key      identity.Bytes32
}

// with returns the endpoint, if it was a record's key that answered there: with
// another one a node has proved nothing.
func (l learned) with(s *identity.Signed) netip.AddrPort {
	if l.key != s.Record.WireGuardKey {
		return netip.AddrPort{}
	}
	return l.endpoint
}

// learn takes the endpoint in use as the first to try at the next start, and
// reports whether that is news.
func (l *link) learn(now time.Time) bool {
	e := l.status.Endpoint
	if !l.up() || !l.live(now) || l.paths.trial || !e.IsValid() || e == l.learned {
		return false
	}
	l.learned = e
	return true
}

// signs is what the choice of the path goes by.
func (l *link) signs(now time.Time, t Timing) signs {
	return signs{
		answers: l.up(), silent: l.pulse.silent(now), heard: l.lastData, busy: l.pulse.busy,
		session: !l.status.LastHandshake.IsZero() && now.Sub(l.status.LastHandshake) < sessionFor,
		dwell:   t.Trial, lag: l.lag,
	}
}

// mustObserve reports whether the device has to be read before the path is
// looked at: what it has heard decides.
func (l *link) mustObserve(now time.Time, t Timing) bool {
	return l.confirm || !l.isQuiet(now) && l.paths.due(now, l.signs(now, t))
}

// step moves the link's path to now.
func (l *link) step(now time.Time, t Timing) {
	if l.isQuiet(now) {
		l.seek(now)
		return
	}
	before := l.paths.using
	switch l.paths.step(now, l.signs(now, t)) {
	case stepHop:
		l.nextAsk, l.confirm = now, false
	case stepShake:
		l.confirm, l.lost = false, true
		if l.paths.using != before || !l.repeats || now.Sub(laterOf(l.shaken, l.since)) >= shakeEvery {
			l.reset, l.shaken, l.nextAsk = true, now, now
		}
	case stepStay:
		if l.stuck(now) {
			l.reset, l.shaken, l.nextAsk = true, now, now
			l.spoiled++
		}
	}
}

// seek has others asked about a peer that is waited for to call: it may have a
// newer record, and does not call those who do not know its key.
func (l *link) seek(now time.Time) {
	if l.pathless() && !l.signed.Record.Away && now.Sub(laterOf(l.sought, l.since)) >= seekEvery {
		l.lost, l.sought = true, now
	}
}

// stuck reports whether handshakes have come from the peer and none was
// completed: both have called at one moment, and each has dropped the other's
// answer. One side breaks it up before WireGuard does so after 5 s, at times on
// both sides at one moment again.
func (l *link) stuck(now time.Time) bool {
	wait := (stuckFor + 2*l.lag) << min(l.spoiled, 4)
	return l.status.RxBytes > 0 && l.status.LastHandshake.IsZero() && l.answer.IsZero() &&
		now.Sub(l.lastRx) >= wait && now.Sub(l.shaken) >= wait
}

// probeDue reports whether a probe is to be sent.
func (l *link) probeDue(now time.Time) bool { return !l.isQuiet(now) && !now.Before(l.nextAsk) }

// probe takes note of a probe that goes out, and returns its nonce.
func (l *link) probe(now time.Time, t Timing, echoEvery, trip time.Duration) (nonce uint64) {
	if l.lastAsk().After(l.answer) {
		l.misses++
	}
	a := ask{nonce: l.rand.Uint64(), at: now}
	l.asked[l.askedN%len(l.asked)] = a
	l.askedN++
	l.pulse.sent(now)
	l.nextAsk = now.Add(l.retryAfter(t, echoEvery, trip))
	return a.nonce
}

// retryAfter returns when to ask again if no answer comes: soon at first, more
// rarely once the peer has been silent for long. trip is what a round trip to
// any peer takes these days.
func (l *link) retryAfter(t Timing, echoEvery, trip time.Duration) time.Duration {
	switch {
	case l.paths.trial, l.paths.hopping:
		return suspectEvery
	case l.answer.IsZero() && !l.status.LastHandshake.IsZero() && l.misses < 2*silentProbes:
		// There is a session: the first probe was lost on its way, or its answer
		// takes as long as those of others, for this host is busy.
		return min(max(suspectEvery, 2*trip)<<max(0, l.misses-1), t.EchoRetry)
	case l.repeats && l.answer.IsZero() && l.status.LastHandshake.IsZero():
		return max(echoEvery, 5*t.EchoRetry) // the device keeps the probe until there is a session
	case l.misses < 30:
		return l.pulse.retry(t.EchoRetry)
	}
	return max(echoEvery, 5*t.EchoRetry)
}

// urgent is when the link has to be looked at though no tick is due; zero if
// that can wait.
func (l *link) urgent(now time.Time) time.Time {
	suspect := l.pulse.rtt > 0 && l.pulse.probes > 0 && l.pulse.probes <= 2*silentProbes
	if l.isQuiet(now) || !suspect && !l.paths.trial && !l.paths.hopping {
		return time.Time{}
	}
	return laterOf(l.nextAsk, now.Add(suspectEvery/10))
}

// asks takes a probe of the peer's. As long as it asks, this node need not: each
// learns that the other lives. But only the answer to an own probe tells that the
// way out is good, so that one goes out now and then.
func (l *link) asks(now time.Time, echoEvery time.Duration) {
	settled := l.up() && l.rtt > 0 && !l.lastAsk().After(l.answer) && !l.paths.trial && !l.paths.searching && !l.confirm
	if settled && now.Sub(l.answer) < 2*echoEvery {
		l.nextAsk = laterOf(l.nextAsk, l.soon(now, echoEvery))
	}
}

// soon is when to ask next, by chance, so that not all are asked at once.
func (l *link) soon(now time.Time, echoEvery time.Duration) time.Time {
	return now.Add(echoEvery + time.Duration(l.rand.Int64N(int64(echoEvery)/5+1)))
}

// answered takes the answer to a probe and reports whether it is one of ours.
func (l *link) answered(nonce uint64, now time.Time, echoEvery time.Duration) bool {
	i := slices.IndexFunc(l.asked[:], func(a ask) bool { return a.nonce == nonce && !a.at.IsZero() })
	if i < 0 {
		return false
	}
	asked := l.asked[i].at
	l.asked[i] = ask{}
	first := l.answer.IsZero() || l.misses >= lostAfter
	choice := len(l.paths.list) > 1
	if !first {
		l.rtt = now.Sub(asked)
	}
	l.answer, l.proved, l.misses = now, true, 0
	l.nextAsk = l.soon(now, echoEvery)
	trip := l.rtt
	if first { // the first one waited for a handshake: its time is no round trip
		trip = 0
		if l.nextAsk = now.Add(time.Second); choice {
			l.nextAsk = now
		}
	}
	l.pulse.answered(trip)
	switch {
	case !l.paths.trial && !l.paths.searching && l.status.Endpoint == l.paths.using:
		l.paths.answered(l.paths.using, trip, now)
	case !asked.Before(l.paths.since):
		l.confirm, l.trip = true, trip
	}
	return true
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
