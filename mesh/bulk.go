package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// errBusy: the caller has as much under way as it may.
var errBusy = errors.New("too much under way of this node")

// bulk bounds the memory that large requests take: of one caller one, and of
// all together maxBulky at a time. Small ones are read at once.
type bulk struct {
	all chan struct{} // one token per large request

	mu      sync.Mutex // guards callers
	callers map[string]bool
}

func newBulk() *bulk {
	return &bulk{all: make(chan struct{}, maxBulky), callers: map[string]bool{}}
}

// read receives a request of a caller. A large one waits for its turn, until
// ctx ends or the caller has given up. The caller calls done once the request is no longer needed.
func (b *bulk) read(ctx context.Context, r io.Reader, caller string) (q protocol.Request, done func(), err error) {
	n, err := protocol.ReadSize(r, protocol.MaxRequest)
	if err != nil {
		return protocol.Request{}, nil, err
	}
	done = func() {}
	if n > protocol.MaxSmall {
		if done, err = b.enter(ctx, caller); err != nil {
			return protocol.Request{}, nil, fmt.Errorf("request of %d bytes: %w", n, err)
		}
	}
	if q, err = protocol.ReadRequest(r, n); err != nil {
		done()
		return protocol.Request{}, nil, err
	}
	return q, done, nil
}

func (b *bulk) enter(ctx context.Context, caller string) (leave func(), err error) {
	b.mu.Lock()
	busy := b.callers[caller]
	b.callers[caller] = true
	b.mu.Unlock()
	if busy {
		return nil, errBusy
	}
	forget := func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.callers, caller)
	}
	select {
	case b.all <- struct{}{}:
		return func() { <-b.all; forget() }, nil
	case <-ctx.Done():
	case <-time.After(requestTimeout):
	}
	forget()
	return nil, errBusy
}

// callers bounds the introductions of one certificate: how many at a time, and
// how often.
type callers struct {
	mu sync.Mutex // guards by
	by map[string]*visitor
}

// enter reports whether one more may begin; the caller then must call leave.
func (c *callers) enter(serial string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.by[serial]
	if v == nil {
		if len(c.by) >= protocol.MaxMembers {
			maps.DeleteFunc(c.by, func(_ string, v *visitor) bool { return v.inside == 0 })
		}
		v = &visitor{limiter: rate.NewLimiter(callerRate, callerBurst)}
		c.by[serial] = v
	}
	if v.inside >= maxPerCaller || !v.limiter.AllowN(now, 1) {
		return false
	}
	v.inside++
	return true
}

func (c *callers) leave(serial string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[serial].inside--
}
