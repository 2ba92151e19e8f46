package netlab

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// maxDelayed bounds the packets on the way, over all paths: a second of 50,000
// packets/s, or 75 MB.
const maxDelayed = 50_000

// delayed is a packet on the way.
type delayed struct {
	due  time.Duration
	seq  uint64 // keeps the order of what is due at once
	to   *uplink
	data *[]byte
}

// delayLine holds packets until they are due. One goroutine serves it, and one
// timer, armed only while something waits.
type delayLine struct {
	now  func() time.Duration
	wake chan struct{} // 1-deep: an earlier packet has come
	pool sync.Pool     // of *[]byte

	mu   sync.Mutex // guards the fields below
	heap delayHeap
	seq  uint64
}

func newDelayLine(now func() time.Duration) *delayLine {
	return &delayLine{now: now, wake: make(chan struct{}, 1)}
}

// add puts a copy of a packet on the way; false if too many are.
func (d *delayLine) add(due time.Duration, to *uplink, packet []byte) bool {
	buf, ok := d.pool.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	*buf = append((*buf)[:0], packet...)
	d.mu.Lock()
	if len(d.heap) >= maxDelayed {
		d.mu.Unlock()
		d.pool.Put(buf)
		return false
	}
	d.seq++
	first := len(d.heap) == 0 || due < d.heap[0].due
	heap.Push(&d.heap, delayed{due, d.seq, to, buf})
	d.mu.Unlock()
	if first {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// run delivers packets until ctx ends.
func (d *delayLine) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next, waiting := d.deliver()
		if waiting {
			timer.Reset(next)
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-d.wake:
		case <-ctx.Done():
			return
		}
	}
}

// deliver writes what is due and returns how long the next one has.
func (d *delayLine) deliver() (time.Duration, bool) {
	for {
		now := d.now()
		d.mu.Lock()
		if len(d.heap) == 0 || d.heap[0].due > now {
			defer d.mu.Unlock()
			if len(d.heap) == 0 {
				return 0, false
			}
			return d.heap[0].due - now, true
		}
		p := heap.Pop(&d.heap).(delayed)
		d.mu.Unlock()
		p.to.write(*p.data)
		d.pool.Put(p.data)
	}
}

// delayHeap implements heap.Interface by time, then by order of coming.
type delayHeap []delayed

func (h delayHeap) Len() int      { return len(h) }
func (h delayHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h delayHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}
func (h *delayHeap) Push(x any) { *h = append(*h, x.(delayed)) }
func (h *delayHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = delayed{}
	*h = old[:len(old)-1]
	return last
}
