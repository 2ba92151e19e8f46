package overlay

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

// repeater sends an initiation again that nothing answers. WireGuard itself
// waits for 5 s (REKEY_TIMEOUT): for an initiation that was lost, and for one
// that came before the peer was told of this node, as happens to each that
// joins, or through a NAT whose other side had not sent yet. A peer refuses an
// initiation that it has seen (its timestamp has to rise), so that a repeated
// one costs it a look and has no effect.
type repeater struct {
	send func(packet []byte, to netip.AddrPort)

	mu      sync.Mutex // guards the fields below
	byIndex map[uint32]*repeated
	byAddr  map[netip.AddrPort]*repeated
	closed  bool
}

// repeated is an initiation without an answer.
type repeated struct {
	packet [initiationSize]byte
	to     netip.AddrPort
	sent   int // times after the first
	timer  *time.Timer
}

// repeatAfter are the times between an initiation and its repetitions, which end
// before WireGuard makes a new one.
var repeatAfter = [...]time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, 1000 * time.Millisecond, 2000 * time.Millisecond,
}

// maxRepeated bounds the initiations that are repeated at one time.
const maxRepeated = 4096

// Message and field of WireGuard beside those of glare.
const (
	typeCookie = 3
	cookieSize = 64
)

// newRepeater returns a repeater that calls send, from goroutines of timers.
func newRepeater(send func(packet []byte, to netip.AddrPort)) *repeater {
	return &repeater{send: send, byIndex: map[uint32]*repeated{}, byAddr: map[netip.AddrPort]*repeated{}}
}

// sending notes what leaves for to, and reports whether it will be repeated. The packet is the caller's again afterwards.
func (r *repeater) sending(bufs [][]byte, to netip.AddrPort) (repeats bool) {
	if len(bufs) != 1 {
		return false
	}
	b := bufs[0]
	switch {
	case isMessage(b, typeInitiation, initiationSize):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dropLocked(r.byAddr[to]) // WireGuard has forgotten that one
		index := binary.LittleEndian.Uint32(b[4:])
		if r.closed || len(r.byAddr) >= maxRepeated || r.byIndex[index] != nil {
			return false
		}
		p := &repeated{packet: [initiationSize]byte(b), to: to}
		r.byIndex[index], r.byAddr[to] = p, p
		p.timer = time.AfterFunc(repeatAfter[0], func() { r.again(p) })
		return true
	case isMessage(b, typeResponse, responseSize): // it called as well, and that handshake goes on
		r.mu.Lock()
		defer r.mu.Unlock()
		r.dropLocked(r.byAddr[to])
	}
	return false
}

// received ends the wait for an answer, if b is one. A cookie is: WireGuard will
// prove its address with it in a new initiation.
func (r *repeater) received(b []byte) {
	var index uint32
	switch {
	case isMessage(b, typeResponse, responseSize):
		index = binary.LittleEndian.Uint32(b[8:])
	case isMessage(b, typeCookie, cookieSize):
		index = binary.LittleEndian.Uint32(b[4:])
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropLocked(r.byIndex[index])
}

// again repeats an initiation, unless it has been answered meanwhile.
func (r *repeater) again(p *repeated) {
	r.mu.Lock()
	if r.byAddr[p.to] != p {
		r.mu.Unlock()
		return
	}
	p.sent++
	if p.sent < len(repeatAfter) {
		p.timer.Reset(repeatAfter[p.sent])
	} else {
		r.dropLocked(p)
	}
	r.mu.Unlock()
	r.send(p.packet[:], p.to)
}

func (r *repeater) dropLocked(p *repeated) {
	if p == nil {
		return
	}
	p.timer.Stop()
	delete(r.byAddr, p.to)
	delete(r.byIndex, binary.LittleEndian.Uint32(p.packet[4:]))
}

// close ends all repetitions.
func (r *repeater) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, p := range r.byAddr {
		r.dropLocked(p)
	}
}
