package mcis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/store/kv"
)

// errSuperseded ends a run because something newer is wanted of its MCIS.
var errSuperseded = errors.New("superseded")

// worker does the runs of one MCIS, one after the other.
type worker struct {
	cancel context.CancelCauseFunc // of the run under way
	again  bool                    // look at the record once more afterwards
}

// Run does what Apply and Delete record, and resumes what an earlier process
// left under way. It blocks until ctx ends and then returns nil; calls to
// clouds that are still open then are cut, and the next Run finds out what
// became of them.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	open := func() error {
		records, err := s.loadAll(ctx)
		for _, r := range records {
			if !r.Phase.Settled() {
				s.kick(r.Name)
			}
		}
		return err
	}
	for n := 0; ; n++ {
		err := open()
		if err == nil {
			break
		}
		s.log.Error("open runs are unknown", "err", err)
		if !pause(ctx, backoff(n, nil)) {
			return nil
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.members.Changed():
			s.joined.wake()
		case <-s.wake:
			s.start(ctx, &wg)
		}
	}
}

// kick makes Run look at an MCIS now, and ends the run it is in.
func (s *Service) kick(name string) {
	s.mu.Lock()
	s.pending[name] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// start gives every pending MCIS a worker.
func (s *Service) start(ctx context.Context, wg *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.pending {
		delete(s.pending, name)
		if w := s.workers[name]; w != nil {
			w.again = true
			w.cancel(errSuperseded)
			continue
		}
		w := &worker{cancel: func(error) {}, again: true}
		s.workers[name] = w
		wg.Go(func() { s.work(ctx, name, w) })
	}
}

// work does runs until the MCIS is settled.
func (s *Service) work(ctx context.Context, name string, w *worker) {
	for n := 0; ; {
		s.mu.Lock()
		if !w.again || ctx.Err() != nil {
			delete(s.workers, name)
			s.mu.Unlock()
			return
		}
		w.again = false
		runCtx, cancel := context.WithCancelCause(ctx)
		w.cancel = cancel
		s.mu.Unlock()

		err := s.step(ctx, runCtx, name)
		superseded := errors.Is(context.Cause(runCtx), errSuperseded)
		cancel(nil)
		if err == nil || superseded || ctx.Err() != nil {
			n = 0
			continue
		}
		s.mu.Lock()
		w.again = true
		s.mu.Unlock()
		if errors.Is(err, errSuperseded) {
			continue // by a call whose kick is on its way, or by another server
		}
		s.log.Error("run is interrupted", "mcis", name, "err", err)
		pause(ctx, backoff(n, err))
		n++
	}
}

// step does the run that the record asks for. An error means that the run is
// not over (the store did not answer, the run was superseded) and is to be
// taken up again.
func (s *Service) step(ctx, runCtx context.Context, name string) error {
	r, err := s.load(runCtx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Phase.Settled() {
		return nil
	}
	run, err := s.newRun(ctx, r)
	if err != nil {
		return err
	}
	if r.Phase == PhaseDeleting {
		err = run.delete(runCtx)
	} else {
		err = run.apply(runCtx)
	}
	if errors.Is(err, kv.ErrConflict) {
		return fmt.Errorf("%w: %w", errSuperseded, err)
	}
	return err
}

// pause waits for d and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// jitter returns d changed at random by up to a quarter either way.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1)
}
