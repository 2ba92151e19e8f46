package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// bucket paces the calls of one kind in one region. It holds up to half a
// second's tokens.
//
// The rate follows additive increase and multiplicative decrease: half of it
// after a throttle, but once in settle, since calls under way were sent at the
// old rate; a fiftieth of the maximum more when there was none in settle. While
// no more than a fifth of the last calls was throttled the rate stays: so little
// is the price of using what is granted, or comes from others who use the same
// account, and a lower rate would end in standstill.
// Whoever waits looks at the rate again when it wakes, so that a decrease holds
// for those who waited before it too.
type bucket struct {
	turn        chan struct{} // held by the one who waits for the next token: the others queue
	most, least float64       // calls a second

	mu                         sync.Mutex // guards the fields below
	rate                       float64    // calls a second
	tokens                     float64
	filled                     time.Time // when tokens was right
	lowered, raised, throttled time.Time // last decrease, increase, throttle
	until                      time.Time // no call before
	good, bad                  float64   // calls of about the last memory
	counted                    time.Time // when good and bad were right
}

// settle is the time for which a change of the rate is given a chance to show.
const settle = time.Second

// memory is how fast calls are forgotten: after that time a call counts for 37 %.
const memory = 5 * time.Second

// tolerable is the share of throttled calls that lowers no rate.
const tolerable = 0.2

func newBucket(most, least float64) *bucket {
	return &bucket{
		turn: make(chan struct{}, 1), most: most, least: min(least, most),
		rate: most, tokens: max(1, most/2), filled: time.Now(), counted: time.Now(),
	}
}

// wait returns when a call may be made, in the order of arrival, or with the
// error that wraps cloud.ErrThrottled: the context has ended, or will before its
// turn comes.
func (b *bucket) wait(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", cloud.ErrThrottled, ctx.Err())
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", cloud.ErrThrottled, err)
		}
		pause := b.take(time.Now())
		if pause <= 0 {
			return nil
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < pause {
			return &cloud.APIError{
				Code: "Throttled", Message: fmt.Sprintf("the cloud takes no such call for another %s", pause.Round(time.Second)),
				Class: cloud.ErrThrottled, After: pause,
			}
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// take takes a token and returns 0, or the time until there may be one.
func (b *bucket) take(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.until) {
		return b.until.Sub(now)
	}
	b.tokens = min(max(1, b.rate/2), b.tokens+now.Sub(b.filled).Seconds()*b.rate)
	b.filled = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1-b.tokens)/b.rate*float64(time.Second)) + time.Microsecond
}

// heed adapts the rate to the outcome of a call.
func (b *bucket) heed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.forget(now)
	if errors.Is(err, cloud.ErrThrottled) {
		b.bad++
		var e *cloud.APIError
		if errors.As(err, &e) && e.After > 0 {
			if until := now.Add(min(e.After, mostAfter)); until.After(b.until) {
				b.until = until
			}
		}
		b.tokens = min(b.tokens, 0)
		b.throttled = now
		if now.Sub(b.lowered) >= settle && b.bad > tolerable*(b.good+b.bad) {
			b.lowered = now
			b.rate = max(b.least, b.rate/2)
		}
		return
	}
	b.good++
	if b.rate < b.most && now.Sub(b.throttled) >= settle && now.Sub(b.raised) >= settle {
		b.raised = now
		b.rate = min(b.most, b.rate+b.most/50)
	}
}

// forget lets the calls that are counted fade.
func (b *bucket) forget(now time.Time) {
	fade := math.Exp(-now.Sub(b.counted).Seconds() / memory.Seconds())
	b.good, b.bad, b.counted = b.good*fade, b.bad*fade, now
}

// allowed returns the calls a second that are allowed now.
func (b *bucket) allowed() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rate
}
