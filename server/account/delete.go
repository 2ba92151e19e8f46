package account

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// deleteAll deletes what is due of the groups, a few at a time, and reports
// whether any of them is worth another round.
func (w *sweep) deleteAll(ctx context.Context, groups []*group) bool {
	var machines errgroup.Group
	machines.SetLimit(atOnce)
	for _, g := range groups {
		for _, o := range g.machines {
			if !o.stuck && time.Since(o.asked) >= again {
				machines.Go(func() error { w.delete(ctx, o); return nil })
			}
		}
	}
	_ = machines.Wait() // what fails is noted with the orphan
	var (
		rest  errgroup.Group
		mu    sync.Mutex // guards waits
		waits bool
	)
	rest.SetLimit(atOnce)
	for _, g := range groups {
		rest.Go(func() error {
			more := w.deleteRest(ctx, g)
			mu.Lock()
			defer mu.Unlock()
			waits = waits || more
			return nil
		})
	}
	_ = rest.Wait() // likewise
	return waits
}

// deleteRest deletes what machines used, in order, when they are gone. It
// reports whether the next round may get further.
func (w *sweep) deleteRest(ctx context.Context, g *group) bool {
	if len(g.machines) > 0 {
		for _, o := range g.machines {
			if !o.stuck {
				return true
			}
		}
		return false // machines that cannot go hold everything
	}
	progress, stuck, inUse := false, false, false
	for _, o := range g.rest {
		if !o.stuck && time.Since(o.asked) >= again {
			w.delete(ctx, o)
		}
		switch {
		case o.stuck:
			stuck = true
		case o.Why == "":
			progress = true
		default:
			inUse = true
		}
	}
	return progress || inUse && !stuck
}

// delete asks the cloud to delete an orphan. It touches no other.
func (w *sweep) delete(ctx context.Context, o *orphan) {
	if !o.tried {
		o.tried = true
		w.tell(o, "delete", "")
	}
	callCtx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	err := w.a.Driver.Delete(callCtx, o.Resource)
	if err == nil {
		o.Why, o.asked = "", time.Now()
		return
	}
	o.Why = w.a.fault(o.Region, string(o.Kind)+" "+o.ID, err).Why()
	passes := cloud.Retryable(err) || errors.Is(err, cloud.ErrInUse) || errors.Is(err, cloud.ErrNotFound)
	if o.stuck = !passes && ctx.Err() == nil; o.stuck {
		w.tell(o, "failed", o.Why)
	}
}
