package netlab

import (
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
	d.heap.push(delayed{due, d.seq, to, buf})
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
func (d *delayLine) deliver() (next time.Duration, waiting bool) {
	for {
		p, next, waiting := d.take()
		if p.data == nil {
			return next, waiting
		}
		p.to.write(*p.data)
		d.pool.Put(p.data)
	}
}

// take returns the first packet if it is due, else how long it has.
func (d *delayLine) take() (p delayed, next time.Duration, waiting bool) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.heap) == 0 {
		return delayed{}, 0, false
	}
	if due := d.heap[0].due; due > now {
		return delayed{}, due - now, true
	}
	return d.heap.pop(), 0, true
}

// delayHeap is a binary heap by time, then by order of coming. It is not that of
// container/heap, which allocates for each packet.
type delayHeap []delayed

func (h delayHeap) less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}

func (h *delayHeap) push(p delayed) {
	*h = append(*h, p)
	for i := len(*h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.less(i, up) {
			return
		}
		(*h)[i], (*h)[up] = (*h)[up], (*h)[i]
		i = up
	}
}

func (h *delayHeap) pop() delayed {
	l := *h
	first, end := l[0], len(l)-1
	l[0], l[end] = l[end], delayed{}
	l = l[:end]
	*h = l
	for i := 0; ; {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < end && l.less(child, least) {
				least = child
			}
		}
		if least == i {
			return first
		}
		l[i], l[least] = l[least], l[i]
		i = least
	}
}
