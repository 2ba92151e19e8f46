package protocol

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
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
	lag    time.Duration // added to each trial, see yieldFor
	rand   *rand.Rand    // all chance
	greet  time.Time     // until then even an away peer is called, for it may be back

	// Probes.
	asked   [4]ask // the last ones, ring
	askedN  int
	nextAsk time.Time
	proved  bool          // it has answered with its present key, so it holds that key
	misses  int           // probes without an answer since the last one answered
	answer  time.Time     // the last one, zero if none since the peer last came
	rtt     time.Duration // of that

	// The path. tries is what to try in turn: the endpoint that worked last,
	// then the candidates.
	learned  netip.AddrPort
	tries    []netip.AddrPort
	chosen   int
	trial    time.Time // the present one began
	rounds   int       // through tries without success
	endpoint netip.AddrPort
	refused  []netip.AddrPort // the device takes none of them
	reset    bool             // take the peer out of the device and put it back: starts a handshake at once
	known    bool             // the device has been told of the peer

	// What the device said last.
	status overlay.PeerStatus
	lastRx time.Time // bytes came in, or a handshake
}

type ask struct {
	nonce uint64
	at    time.Time
}

// lostAfter is how many silent probes make a peer unreachable.
const lostAfter = 3

// liveFor is how long a peer that was heard counts as alive for WireGuard,
// which answers data by a keepalive after 10 s at the latest.
const liveFor = 12 * time.Second

func newLink(s *identity.Signed, now, quiet time.Time, learned netip.AddrPort) *link {
	return &link{signed: s, since: now, quiet: quiet, learned: learned, proved: learned.IsValid(), nextAsk: quiet, trial: laterOf(now, quiet)}
}

// update takes a newer record of the peer. A record of another WireGuard key,
// or of a peer that was away, starts the attempt to reach it anew.
func (l *link) update(s *identity.Signed, now, quiet time.Time) {
	old := l.signed
	l.signed = s
	if old.Record.WireGuardKey != s.Record.WireGuardKey {
		l.proved = false
	}
	if old.Record.WireGuardKey != s.Record.WireGuardKey || old.Record.Away {
		l.since, l.quiet, l.nextAsk, l.trial = now, quiet, quiet, laterOf(now, quiet)
		l.answer, l.misses, l.rounds, l.chosen = time.Time{}, 0, 0, 0
	}
}

// offer sets the candidates. The endpoint in use stays as long as it works.
func (l *link) offer(cs []identity.Endpoint, now time.Time) {
	tries := make([]netip.AddrPort, 0, len(cs)+1)
	if l.learned.IsValid() {
		tries = append(tries, l.learned)
	}
	for _, c := range cs {
		if !slices.Contains(tries, c.Addr) && !slices.Contains(l.refused, c.Addr) {
			tries = append(tries, c.Addr)
		}
	}
	if slices.Equal(tries, l.tries) {
		return
	}
	l.tries = tries
	if l.endpoint.IsValid() && (l.up() || l.live(now)) {
		l.chosen = max(0, slices.Index(tries, l.endpoint))
		return
	}
	l.chosen, l.rounds, l.trial = 0, 0, laterOf(now, l.quiet)
	old := l.endpoint
	l.endpoint = netip.AddrPort{}
	if len(tries) > 0 {
		l.endpoint = tries[0]
		// WireGuard may be waiting to try the old one again, or, where there was
		// none, has failed to send and waits as long: for 5 s.
		l.reset = l.known && l.endpoint != old
	}
}

// refuse takes an endpoint out for good, since the device takes it for no peer.
func (l *link) refuse(e netip.AddrPort) {
	l.refused = append(l.refused, e)
	l.tries = slices.DeleteFunc(l.tries, func(a netip.AddrPort) bool { return a == e })
	l.chosen = 0
	if l.learned == e {
		l.learned = netip.AddrPort{}
	}
	if l.endpoint == e {
		l.endpoint = netip.AddrPort{}
	}
}

// pathless reports whether there is nowhere to send to: the peer has to call.
func (l *link) pathless() bool {
	return !l.endpoint.IsValid() && !l.status.Endpoint.IsValid() && l.lastRx.IsZero()
}

func (l *link) up() bool { return !l.answer.IsZero() && l.misses < lostAfter && !l.signed.Record.Away }

// live reports whether WireGuard hears the peer, whatever our probes say. Bytes
// without a handshake that was completed are none: when two nodes call each
// other at the same moment, each drops the other's answer.
func (l *link) live(now time.Time) bool {
	return !l.lastRx.IsZero() && now.Sub(l.lastRx) < liveFor && !l.status.LastHandshake.IsZero()
}

// isQuiet reports whether nothing is to be sent unasked.
func (l *link) isQuiet(now time.Time) bool {
	return now.Before(l.quiet) || l.pathless() || l.signed.Record.Away && !now.Before(l.greet)
}

// observe takes what the device says of the peer.
func (l *link) observe(s overlay.PeerStatus, now time.Time) {
	if s.RxBytes != l.status.RxBytes && s.RxBytes > 0 || s.LastHandshake.After(l.status.LastHandshake) {
		l.lastRx = now
	}
	l.status = s
}

// learn takes the endpoint in use as the first to try from now on, and reports
// whether that is news.
func (l *link) learn(now time.Time) bool {
	e := l.status.Endpoint
	if !l.up() || !l.live(now) || !e.IsValid() || e == l.learned {
		return false
	}
	l.tries = slices.DeleteFunc(l.tries, func(a netip.AddrPort) bool { return a == e || a == l.learned && a != l.endpoint })
	l.tries = slices.Insert(l.tries, 0, e)
	l.learned, l.chosen = e, 0
	return true
}

// step moves the link to now. It reports whether to send a probe with the
// returned nonce.
func (l *link) step(now time.Time, t Timing, echoEvery time.Duration) (nonce uint64, probe bool) {
	if l.isQuiet(now) {
		return 0, false
	}
	l.stepPath(now, t)
	if now.Before(l.nextAsk) {
		return 0, false
	}
	if last := l.asked[(l.askedN+3)%4]; l.askedN > 0 && last.at.After(l.answer) {
		l.misses++
	}
	a := ask{nonce: l.rand.Uint64(), at: now}
	l.asked[l.askedN%4] = a
	l.askedN++
	l.nextAsk = now.Add(l.retryAfter(now, t, echoEvery))
	return a.nonce, true
}

// retryAfter returns when to ask again if no answer comes: soon at first, more
// rarely once the peer has been silent for long.
func (l *link) retryAfter(now time.Time, t Timing, echoEvery time.Duration) time.Duration {
	if l.misses < 30 {
		return t.EchoRetry
	}
	return max(echoEvery, 5*t.EchoRetry)
}

// answered takes the answer to a probe and reports whether it is one of ours.
func (l *link) answered(nonce uint64, now time.Time, echoEvery time.Duration) bool {
	i := slices.IndexFunc(l.asked[:], func(a ask) bool { return a.nonce == nonce && !a.at.IsZero() })
	if i < 0 {
		return false
	}
	first := l.answer.IsZero() || l.misses >= lostAfter
	l.rtt = now.Sub(l.asked[i].at)
	l.asked[i] = ask{}
	l.answer, l.proved, l.misses, l.rounds = now, true, 0, 0
	l.nextAsk = now.Add(echoEvery + time.Duration(l.rand.Int64N(int64(echoEvery)/5+1)))
	if first { // the first one waited for a handshake: its time is no round trip
		l.nextAsk = now
	}
	return true
}

// stepPath tries the next address if the present one gives nothing.
func (l *link) stepPath(now time.Time, t Timing) {
	if l.up() {
		l.trial = now
	}
	if !l.trialDue(now, t) {
		return
	}
	l.chosen++
	if l.chosen >= len(l.tries) {
		l.chosen = 0
		l.rounds++
	}
	l.endpoint, l.trial, l.reset = l.tries[l.chosen], now, true
}

// trialDue reports whether the present address has had its time.
func (l *link) trialDue(now time.Time, t Timing) bool {
	return !l.up() && !l.isQuiet(now) && len(l.tries) > 0 && !l.live(now) && now.Sub(l.trial) >= t.Trial<<min(l.rounds, 4)+l.lag
}

// state returns how the peer is doing, and why not better in plain words.
func (l *link) state(now time.Time) (State, string) {
	switch {
	case l.signed.Record.Away:
		return StateAway, "it said at " + l.signed.Record.Issued.UTC().Format(time.RFC3339) + " that it stops"
	case l.up():
		return StateUp, ""
	case l.answer.IsZero() && now.Sub(l.since) < connectFor:
		return StateConnecting, l.attempt()
	}
	return StateUnreachable, l.failure(now)
}

func (l *link) attempt() string {
	if !l.endpoint.IsValid() {
		return "waiting for it to call: it names no address that can be reached from here"
	}
	return "trying " + l.endpoint.String()
}

func (l *link) failure(now time.Time) string {
	var since string
	if !l.answer.IsZero() {
		since = fmt.Sprintf("silent for %s; ", now.Sub(l.answer).Round(time.Second))
	}
	if l.live(now) && l.lastRx.Sub(l.answer) > 5*time.Second {
		return since + fmt.Sprintf("WireGuard hears it, but nothing answers on UDP port %d in the tunnel: is cbnetd running there, and does its firewall let the interface in?", GossipPort)
	}
	if len(l.tries) == 0 {
		return since + l.attempt()
	}
	names := make([]string, len(l.tries))
	for i, a := range l.tries {
		names[i] = a.String()
	}
	return since + "no answer from " + strings.Join(names, ", ") + ": it is down, or the UDP port is closed on the way"
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
