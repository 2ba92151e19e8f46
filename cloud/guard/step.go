package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// step is one try of a driver's method. The transport finds it in the context
// of the requests that the try makes.
type step struct {
	g *guarded
	c call

	cancel  context.CancelCauseFunc
	timeout time.Duration

	mu      sync.Mutex    // guards the fields below
	timer   *time.Timer   // ends the try
	end     time.Time     // when timer fires
	left    time.Duration // time left, while requests wait for their turn
	waiting int           // requests that do
	failed  apiCall       // the last call that was no success
	bucket  *bucket       // and its bucket
	refused error         // why a request was not made
}

type stepKey struct{}

// stepOf returns the try that a request belongs to, nil if it was made without
// a guard.
func stepOf(ctx context.Context) *step {
	s, _ := ctx.Value(stepKey{}).(*step)
	return s
}

// begin starts a try that may last for timeout, not counting the time in which
// its requests wait for their turn.
func (g *guarded) begin(ctx context.Context, c call, timeout time.Duration) (context.Context, *step) {
	s := &step{g: g, c: c, timeout: timeout, end: time.Now().Add(timeout)}
	ctx, s.cancel = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(timeout, func() { s.cancel(context.DeadlineExceeded) })
	return context.WithValue(ctx, stepKey{}, s), s
}

// done ends the try and returns its error, completed by what the driver does
// not know: that a request was not made, that time was up.
func (s *step) done(ctx context.Context, err error) error {
	s.timer.Stop()
	defer s.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case context.Cause(ctx) == context.DeadlineExceeded: // the timer's, or the caller's
		if !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w (%w after %s)", err, context.DeadlineExceeded, s.timeout)
		}
	case s.refused != nil:
		err = fmt.Errorf("%s: %w", s.c.name, s.refused)
	}
	return err
}

// wait takes a token for a request.
func (s *step) wait(ctx context.Context, b *bucket) error {
	if s == nil {
		return b.wait(ctx)
	}
	s.pause(+1)
	err := b.wait(ctx)
	s.pause(-1)
	if err != nil {
		s.mu.Lock()
		s.refused = err
		s.mu.Unlock()
	}
	return err
}

// pause stops the clock when the first request begins to wait and starts it
// again when the last one goes.
func (s *step) pause(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.waiting
	s.waiting += n
	switch {
	case before == 0 && s.timer.Stop():
		s.left = time.Until(s.end)
	case s.waiting == 0 && s.left > 0:
		s.end = time.Now().Add(s.left)
		s.timer.Reset(s.left)
		s.left = 0
	}
}

// note keeps a call's outcome.
func (s *step) note(api apiCall, b *bucket, failed bool) {
	if s == nil || !failed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.bucket = api, b
}

// heed slows the kind of call down that the cloud throttled, as the driver has
// found out (vendors say it in many ways), and reports whether it did.
func (s *step) heed(err error) bool {
	s.mu.Lock()
	api, b, refused := s.failed, s.bucket, s.refused
	s.mu.Unlock()
	if !errors.Is(err, cloud.ErrThrottled) || b == nil || refused != nil {
		return false
	}
	b.heed(err)
	s.g.opt.Metrics.throttled(s, api)
	s.g.opt.Metrics.rate(s, api.kind, b)
	return true
}
