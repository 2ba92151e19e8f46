package overlay

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
)

// glare keeps two peers that call each other at the same moment from spoiling
// each other's handshake.
//
// A WireGuard peer that has sent an initiation and then consumes one forgets
// its own, and refuses the response to it. If both do, both wait for 5 s
// (REKEY_TIMEOUT). Both initiations show their ephemeral key, so the two sides
// can agree without a word: the one with the lower key holds the other's
// initiation back. Commonly the response to its own comes next, and what was
// held is dropped. If none comes within responseTime, its own initiation was
// lost, and it answers the held one:
//
//	lower                        higher
//	  |---- initiation ---.  .-----|
//	  |                    \/      |
//	  |<------- held -----'  `---->| consumes it, forgets its own
//	  |<-------- response ---------|
//	  |--------- keepalive ------->| the session is up, on both sides
//
// A peer that knows nothing of this always behaves as the higher side, so with
// one the outcome is right in half of all cases and as ever in the others.
//
// An initiation may also have come before the own one leaves, and still wait for
// WireGuard to consume it, on a busy host for a second. Then the own one does not
// leave: the answer to the other's is about to. If none is, for WireGuard did not
// know the peer when it came, a repetition leaves later.
//
// Sends come from many goroutines, what is received from one.
type glare struct {
	mu    sync.Mutex // guards the fields below
	own   map[netip.AddrPort]*initiation
	came  map[netip.AddrPort]time.Time // initiations that WireGuard has got and not answered
	held  int                          // packets held, of all entries
	due   time.Time                    // when the receiver looks at them; zero if none is held
	swept time.Time                    // when own was last freed of what is old
}

// initiation is one that this side has sent, and what came back instead of a
// response.
type initiation struct {
	made      time.Time
	sent      time.Time // the last time; zero if never
	index     uint32    // which the response repeats
	ephemeral [32]byte
	since     time.Time // the first of held came
	answered  bool      // this side has sent a response meanwhile: it forgot its own
	held      []heldPacket
}

// until is when what is held is released: the peer has had the time to answer,
// and in any case after as long again.
func (i *initiation) until() time.Time {
	at, latest := i.sent.Add(responseTime), i.since.Add(responseTime)
	if latest.Before(at) {
		return latest
	}
	return at
}

type heldPacket struct {
	data [initiationSize]byte
	from conn.Endpoint
}

// Messages of WireGuard (protocol paper, section 5.4; little endian).
const (
	typeInitiation = 1
	typeResponse   = 2
	initiationSize = 148
	responseSize   = 92
	keepaliveSize  = 32 // a data packet without data
)

const (
	// responseTime is how long after an initiation, or its repetition (see
	// [repeater]), the response may be on the way: the longest round trip
	// (Singapore to São Paulo) is about 330 ms, and a peer is busy when many join.
	responseTime = 2 * time.Second

	// consumeTime is how long WireGuard may take to consume an initiation.
	consumeTime = 700 * time.Millisecond

	// Anyone can forge the address of a packet. What exceeds these bounds is
	// not held but delivered at once.
	maxHeldPerEndpoint = 4
	maxHeld            = 1024
)

func newGlare() *glare {
	return &glare{own: make(map[netip.AddrPort]*initiation), came: make(map[netip.AddrPort]time.Time)}
}

// isMessage reports whether b may be the handshake message.
func isMessage(b []byte, kind uint32, size int) bool {
	return len(b) == size && binary.LittleEndian.Uint32(b) == kind
}

// sending notes what is about to leave for to, and reports whether it may.
// Messages of a handshake leave alone.
func (g *glare) sending(bufs [][]byte, to netip.AddrPort) bool {
	if len(bufs) != 1 || len(bufs[0]) != initiationSize && len(bufs[0]) != responseSize {
		return true
	}
	b := bufs[0]
	switch {
	case isMessage(b, typeInitiation, initiationSize):
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.initiateLocked(b, to, time.Now())
	case isMessage(b, typeResponse, responseSize):
		g.mu.Lock()
		defer g.mu.Unlock()
		if i := g.own[to]; i != nil {
			i.answered = true
		}
		delete(g.came, to)
	}
	return true
}

// initiateLocked notes that the initiation b is about to leave, and reports
// whether it may. The second repetition leaves at the latest: anyone can forge what
// seems to have come.
func (g *glare) initiateLocked(b []byte, to netip.AddrPort, now time.Time) bool {
	i := g.own[to]
	g.sweepLocked(now)
	if i == nil {
		i = &initiation{}
	}
	g.own[to] = i
	if index := binary.LittleEndian.Uint32(b[4:]); i.made.IsZero() || i.index != index {
		i.made, i.index, i.ephemeral = now, index, [32]byte(b[8:40])
		i.sent = time.Time{}
	}
	came, ok := g.came[to]
	if ok && now.Sub(came) < consumeTime && now.Sub(i.made) < consumeTime {
		return false
	}
	// What is held stays so, for it came before: a peer that was reset
	// waits for the response to its new initiation.
	i.sent, i.answered = now, false
	return true
}

// sweepLocked drops own initiations that no response will come for, and what
// has come and was not answered.
func (g *glare) sweepLocked(now time.Time) {
	if now.Sub(g.swept) < consumeTime/4 {
		return
	}
	g.swept = now
	for to, i := range g.own {
		if len(i.held) == 0 && now.Sub(i.made) >= responseTime && now.Sub(i.sent) >= responseTime {
			delete(g.own, to)
		}
	}
	for from, at := range g.came {
		if now.Sub(at) >= consumeTime {
			delete(g.came, from)
		}
	}
}

// received looks through the batch that was just received, and sets the sizes
// of those it holds to 0. It returns when to call [glare.release], the zero
// time if this batch changed nothing about that.
func (g *glare) received(bufs [][]byte, sizes []int, eps []conn.Endpoint) (due time.Time) {
	for i, size := range sizes {
		if size != initiationSize && size != responseSize { // all data of some length
			continue
		}
		e, ok := eps[i].(*endpoint)
		if !ok {
			continue
		}
		b := bufs[i][:size]
		switch {
		case isMessage(b, typeResponse, responseSize):
			g.response(binary.LittleEndian.Uint32(b[8:]), e.dst)
		case isMessage(b, typeInitiation, initiationSize):
			if at, held := g.hold(b, e, time.Now()); held {
				sizes[i], due = 0, at
			}
		}
	}
	return due
}

// response ends the wait for the response to the own initiation index.
func (g *glare) response(index uint32, from netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := g.own[from]; i != nil && i.index == index {
		g.held -= len(i.held)
		delete(g.own, from)
	}
}

// hold keeps the initiation b for now, if it is to be held, and returns until
// when.
func (g *glare) hold(b []byte, e *endpoint, now time.Time) (until time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := g.own[e.dst]
	switch {
	case i == nil || i.answered || now.Sub(i.sent) >= responseTime,
		bytes.Compare(i.ephemeral[:], b[8:40]) >= 0, // we are the higher side
		len(i.held) >= maxHeldPerEndpoint || g.held >= maxHeld:
		if len(g.came) < maxHeld {
			g.came[e.dst] = now
		}
		return time.Time{}, false
	}
	if len(i.held) == 0 {
		i.since = now
	}
	i.held = append(i.held, heldPacket{[initiationSize]byte(b), e})
	g.held++
	if at := i.until(); g.due.IsZero() || at.Before(g.due) {
		g.due = at
	}
	return g.due, true
}

// release fills the batch with what is not to be held any longer. It returns
// how many that are and when to call it again; the zero time if nothing is
// held. Of one sender the newest comes first: it is the one that the sender
// still knows, and WireGuard refuses older ones after it.
func (g *glare) release(bufs [][]byte, sizes []int, eps []conn.Endpoint, now time.Time) (n int, next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for to, i := range g.own {
		if len(i.held) == 0 || now.Before(i.until()) {
			continue
		}
		for _, h := range slices.Backward(i.held) {
			if n == len(bufs) {
				break
			}
			sizes[n], eps[n] = copy(bufs[n], h.data[:]), h.from
			i.held = i.held[:len(i.held)-1]
			g.held--
			n++
		}
		if len(i.held) == 0 {
			delete(g.own, to)
		}
	}
	g.due = time.Time{}
	for _, i := range g.own {
		if at := i.until(); len(i.held) > 0 && (g.due.IsZero() || at.Before(g.due)) {
			g.due = at
		}
	}
	return n, g.due
}
