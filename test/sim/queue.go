package sim

import (
	"container/heap"
	"time"
)

// happening is something that will happen.
type happening struct {
	at  time.Duration // since epoch
	seq uint64        // equals happen in the order in which they were planned
	do  func()
}

type queue []happening

// Len implements heap.Interface.
func (q queue) Len() int { return len(q) }

// Less implements heap.Interface.
func (q queue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}

// Swap implements heap.Interface.
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	if h, ok := x.(happening); ok {
		*q = append(*q, h)
	}
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	n := len(old) - 1
	h := old[n]
	old[n] = happening{}
	*q = old[:n]
	return h
}

// after plans something.
func (w *World) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, happening{w.now + max(0, d), w.seq, do})
}

// runUntil lets time pass, up to then or to the first broken invariant.
func (w *World) runUntil(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= end && w.broken == nil {
		h, ok := heap.Pop(&w.queue).(happening)
		if !ok {
			return
		}
		w.now = h.at
		h.do()
	}
	w.now = max(w.now, end)
}
