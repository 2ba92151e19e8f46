package overlay

import (
	"sync"
	"time"
)

// inflight bounds the received packets that wireguard-go holds between its
// sockets and its TUN device. Each takes a buffer of 64 KiB, however short it
// is, and there is no bound of its own: whoever reads the sockets reads on
// while decryption lags behind, and a fast TCP stream then fills hundreds of
// megabytes. With a bound, packets wait in the sockets' buffers instead, where
// they take what they are long, and which make TCP slow down when they are full.
//
// It counts what is received and what is written. Packets that are dropped in
// between (replayed, or from a source that their sender may not use) are never
// written, so a wait ends when nothing was written for stuck, and counting
// begins anew.
type inflight struct {
	limit int // of packets; exceeded by at most a batch for each socket

	mu      sync.Mutex // guards the fields below
	n       int
	waiters int

	wake chan struct{} // 1-deep: there may be room
}

// maxInflight is several batches, so that all stages have something to do. Its
// buffers take 16 MiB.
const maxInflight = 2 * batchSize

// stuck is how long nothing is written before what is counted cannot be under
// way any more. A batch takes far less than this to decrypt.
const stuck = 10 * time.Millisecond

func newInflight(limit int) *inflight { return &inflight{limit: limit, wake: make(chan struct{}, 1)} }

// add counts n packets as received.
func (f *inflight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += n
}

// done counts n packets as written.
func (f *inflight) done(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n = max(f.n-n, 0)
	f.wakeLocked()
}

func (f *inflight) wakeLocked() {
	if f.waiters == 0 {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// wait returns when another batch may be received: at once below the limit,
// else at half of it, for fewer and larger batches cost less.
func (f *inflight) wait() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n < f.limit {
		return
	}
	f.waiters++
	defer func() {
		f.waiters--
		f.wakeLocked() // there may be room for others, too
	}()
	t := time.NewTimer(stuck)
	defer t.Stop()
	for f.n > f.limit/2 {
		f.mu.Unlock()
		select {
		case <-f.wake:
			t.Reset(stuck)
			f.mu.Lock()
		case <-t.C:
			f.mu.Lock()
			f.n = 0
		}
	}
}

// taken counts the packets that wireguard-go keeps of each batch of a socket:
// it has put another buffer in the place of each.
type taken struct {
	last []*byte // first bytes of the buffers of the last batch
}

// of returns how many data packets of the last batch were kept, given the
// buffers of the next one. It says so once.
func (t *taken) of(bufs [][]byte) int {
	n := 0
	for i, b := range t.last {
		if b != nil && i < len(bufs) && b != &bufs[i][0] {
			n++
		}
	}
	t.last = t.last[:0]
	return n
}

// note remembers the data packets of a batch.
func (t *taken) note(bufs [][]byte, sizes []int) {
	for i, size := range sizes {
		b := &bufs[i][0]
		switch size {
		case 0, keepaliveSize, initiationSize, responseSize: // never written to the TUN device
			b = nil
		}
		t.last = append(t.last, b)
	}
}
