package guard

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/cloud"
)

type bucketKey struct {
	region string
	kind   kind
}

// bucket paces the calls of one kind in one region.
//
// The rate follows additive increase and multiplicative decrease: half of it
// after a throttle, though only once in settle, since calls under way at that
// moment were sent at the old rate; a fiftieth of the maximum more after each
// success.
type bucket struct {
	limiter       *rate.Limiter
	most, least   float64
	mu            sync.Mutex // guards the fields below
	halved, until time.Time  // last decrease; no call before until
}

// settle is the time for which a decrease is given a chance to work.
const settle = time.Second

func newBucket(most, least float64) *bucket {
	return &bucket{limiter: rate.NewLimiter(rate.Limit(most), max(1, int(most))), most: most, least: least}
}

// bucket returns the bucket of a call.
func (g *guarded) bucket(c call) *bucket {
	key := bucketKey{c.region, c.kind}
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.buckets[key]
	if b == nil {
		b = newBucket(g.opt.Rate, g.opt.MinRate)
		g.buckets[key] = b
	}
	return b
}

// wait returns when a call may be made, or an error when that would be after
// the context's end.
func (b *bucket) wait(ctx context.Context) error {
	b.mu.Lock()
	pause := time.Until(b.until)
	b.mu.Unlock()
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.limiter.Wait(ctx)
}

// heed adapts the rate to the outcome of a call.
func (b *bucket) heed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	limit := float64(b.limiter.Limit())
	if errors.Is(err, cloud.ErrThrottled) {
		var e *cloud.APIError
		if errors.As(err, &e) && e.After > 0 && now.Add(e.After).After(b.until) {
			b.until = now.Add(e.After)
		}
		if now.Sub(b.halved) >= settle {
			b.halved = now
			b.limiter.SetLimit(rate.Limit(max(b.least, limit/2)))
		}
		return
	}
	if limit < b.most {
		b.limiter.SetLimit(rate.Limit(min(b.most, limit+b.most/50)))
	}
}
