package netlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Link is how the internet carries packets from one site to another. The zero
// Link is perfect.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // Delay varies evenly by +-Jitter; the order is kept

	Loss      float64 // share of packets lost, 0 to 1
	Duplicate float64 // share of packets that come twice, 0 to 1

	// Reorder is the share of packets, 0 to 1, that are held back by
	// ReorderBy, so that later ones overtake them.
	Reorder   float64
	ReorderBy time.Duration // 0 = 5 ms

	Rate  int64 // bits per second (of IP packets); 0 = no limit
	Burst int   // bytes that pass at once after a pause; 0 = 16 KiB
	Queue int   // bytes that wait for Rate, more are dropped; 0 = 256 KiB

	MTU    int  // bytes; bigger packets are dropped; 0 = no limit of its own
	NoICMP bool // the sender of a packet beyond MTU is not told (a "black hole")
}

const (
	defaultReorderBy = 5 * time.Millisecond
	defaultBurst     = 16 << 10
	defaultQueue     = 256 << 10
)

// validate returns all faults, joined.
func (l Link) validate() error {
	var errs []error
	for _, p := range []struct {
		name  string
		value float64
	}{{"Loss", l.Loss}, {"Duplicate", l.Duplicate}, {"Reorder", l.Reorder}} {
		if !(p.value >= 0 && p.value <= 1) {
			errs = append(errs, fmt.Errorf("%s %v: want 0 to 1", p.name, p.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"Delay", int64(l.Delay)}, {"Jitter", int64(l.Jitter)}, {"ReorderBy", int64(l.ReorderBy)},
		{"Rate", l.Rate}, {"Burst", int64(l.Burst)}, {"Queue", int64(l.Queue)}, {"MTU", int64(l.MTU)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s %d: must not be negative", n.name, n.value))
		}
	}
	return errors.Join(errs...)
}

// withDefaults fills in what 0 stands for.
func (l Link) withDefaults() Link {
	if l.ReorderBy == 0 {
		l.ReorderBy = defaultReorderBy
	}
	if l.Burst == 0 {
		l.Burst = defaultBurst
	}
	if l.Queue == 0 {
		l.Queue = defaultQueue
	}
	return l
}

// path is a link at work: from one site to another.
type path struct {
	mu       sync.Mutex // guards the fields below
	link     Link       // with defaults
	cut      bool
	dice     *rand.Rand
	last     time.Duration // when the last packet in order leaves
	free     time.Duration // when all that was let in so far has left at Rate
	counters Counters
}

func newPath(l Link, seed, id uint64) *path {
	return &path{link: l.withDefaults(), dice: rand.New(rand.NewPCG(seed, id)), free: longAgo}
}

// longAgo is before any burst.
const longAgo = -1 << 62

// fate is what happens to a packet.
type fate struct {
	forward bool
	due     time.Duration // when it leaves; 0 = at once
	twice   bool
	tooBig  int // the MTU to tell the sender; 0 = nothing
}

// admit decides on a packet of size bytes that comes at now.
func (p *path) admit(now time.Duration, size int) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, c := &p.link, &p.counters
	switch {
	case p.cut:
		c.Cut++
		return fate{}
	case l.MTU > 0 && size > l.MTU:
		c.TooBig++
		if l.NoICMP {
			return fate{}
		}
		return fate{tooBig: l.MTU}
	case l.Loss > 0 && p.dice.Float64() < l.Loss:
		c.Lost++
		return fate{}
	}
	due := now
	if l.Rate > 0 {
		wait, ok := p.queueLocked(now, size)
		if !ok {
			c.Overflowed++
			return fate{}
		}
		due += wait
	}
	due += p.delayLocked()
	due = max(due, p.last)
	if l.Reorder > 0 && p.dice.Float64() < l.Reorder {
		c.Reordered++
		due += l.ReorderBy
	} else {
		p.last = due
	}
	f := fate{forward: true}
	if l.Duplicate > 0 && p.dice.Float64() < l.Duplicate {
		c.Duplicated++
		f.twice = true
	}
	if due > now {
		f.due = due
	}
	c.Packets++
	c.Bytes += uint64(size)
	return f
}

// queueLocked is the token bucket: how long the packet waits for its turn, or
// false if the queue is full.
func (p *path) queueLocked(now time.Duration, size int) (time.Duration, bool) {
	took := func(bytes int) time.Duration {
		return time.Duration(float64(bytes) * 8 / float64(p.link.Rate) * float64(time.Second))
	}
	start := max(p.free, now-took(p.link.Burst))
	if start-now > took(p.link.Queue) {
		return 0, false
	}
	p.free = start + took(size)
	return max(p.free-now, 0), true
}

func (p *path) delayLocked() time.Duration {
	d := p.link.Delay
	if p.link.Jitter > 0 {
		d += time.Duration((2*p.dice.Float64() - 1) * float64(p.link.Jitter))
	}
	return max(d, 0)
}

// set changes the link; packets on the way keep their time.
func (p *path) set(l Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link, p.last, p.free = l.withDefaults(), 0, longAgo
}

func (p *path) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

func (p *path) count() Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counters
}
