package mcis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Times of calls.
const (
	readTimeout   = time.Minute      // of one list or catalogue call
	changeTimeout = 3 * time.Minute  // of one create or delete call; EnsureNetwork makes a dozen requests
	drainTimeout  = 20 * time.Second // that calls under way may take when their run ends
)

// rollbackError ends a run whose nodes are to be removed again.
type rollbackError struct{ reason string }

// Error implements error.
func (e *rollbackError) Error() string { return "rolled back: " + e.reason }

// apply brings the MCIS to what its record wants.
func (r *run) apply(ctx context.Context) error {
	calls, stop := drained(ctx, r.calls)
	defer stop()
	r.calls = calls
	if r.r.Phase == PhasePlanning {
		if done, err := r.plan(ctx); done || err != nil {
			return err
		}
	}
	if r.r.Rollback == "" {
		err := r.pipelines(ctx)
		var back *rollbackError
		if !errors.As(err, &back) {
			if err != nil {
				return err
			}
			return r.finish(ctx)
		}
		r.s.log.Warn("apply is rolled back", "mcis", r.name, "reason", back.reason)
		if err := r.update(ctx, func(x *record) { x.Rollback, x.Reason = back.reason, back.Error() }); err != nil {
			return err
		}
		r.event(Event{Step: "rollback", Message: back.reason})
	}
	if err := r.retreat(ctx); err != nil {
		return err
	}
	if err := r.pipelines(ctx); err != nil {
		return err
	}
	return r.finish(ctx)
}

// drained returns a context for calls that ends a while after the run does, so
// that answers under way still arrive, and at once when the service stops.
func drained(run, service context.Context) (context.Context, context.CancelFunc) {
	calls, cancel := context.WithCancel(service)
	stop := context.AfterFunc(run, func() {
		if pause(calls, drainTimeout) {
			cancel()
		}
	})
	return calls, func() { stop(); cancel() }
}

// plan does the planning phase. done is true when the run ends with it.
func (r *run) plan(ctx context.Context) (done bool, err error) {
	p, err := r.s.plan(ctx, r.r, r.nodes)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	if err != nil {
		r.s.log.Warn("plan is impossible", "mcis", r.name, "err", err)
		return true, r.settle(ctx, planningFailed(r), "plan: "+err.Error(), "")
	}
	var ops []kv.Op
	for _, n := range p.nodes {
		ops = append(ops, kv.Put(nodeKey(r.name, n.Want.Name), encode(n)))
		if old := r.nodes[n.Want.Name]; old != nil && old.Generation < n.Generation {
			ops = append(ops, r.abandon(old, "replaced")...)
		}
		r.nodes[n.Want.Name] = n
	}
	if err := r.commit(ctx, ops); err != nil {
		return false, err
	}
	err = r.update(ctx, func(x *record) {
		x.Phase, x.Regions, x.Rollback, x.UpToDate = PhaseApplying, p.regions, "", true
	})
	if err != nil {
		return false, err
	}
	r.event(Event{Step: "plan", Message: summary(p.plan)})
	return false, nil
}

// planningFailed returns the phase after a plan that is impossible: what was
// there before is as it was.
func planningFailed(r *run) Phase {
	for _, n := range r.nodes {
		if n.Phase == NodeReady {
			return PhaseDegraded
		}
	}
	return PhaseFailed
}

// summary counts the steps of a plan.
func summary(p Plan) string {
	n := make(map[Action]int)
	for _, s := range p.Steps {
		if s.Kind == "vm" {
			n[s.Action]++
		}
	}
	return fmt.Sprintf("nodes: %d to create, %d to replace, %d to delete, %d to keep",
		n[ActionCreate], n[ActionReplace], n[ActionDelete], n[ActionKeep])
}

// abandon returns the operations that close the journal of a node's present
// generation.
func (r *run) abandon(n *nodeRecord, why string) []kv.Op {
	e := r.entries[vmEntryID(n.Want.Name, n.Generation)]
	if e == nil {
		return nil
	}
	e.State, e.Error = stateAbandoned, why
	return []kv.Op{kv.Put(journalKey(r.name, *e), encode(e))}
}

// retreat marks every node that was not there before this run for removal.
func (r *run) retreat(ctx context.Context) error {
	var ops []kv.Op
	for _, n := range r.nodes {
		if !n.Established && n.Phase != NodeDeleting {
			n.Phase = NodeDeleting
			ops = append(ops, kv.Put(nodeKey(r.name, n.Want.Name), encode(n)))
		}
	}
	return r.commit(ctx, ops)
}

// pipelines works on all places at once and returns when each is settled. The
// error is of the store, of ctx, or a *rollbackError.
func (r *run) pipelines(ctx context.Context) error {
	r.mu.Lock()
	r.current, r.places = make(map[string]string), make(map[string]place)
	for _, n := range r.nodes {
		if n.Phase != NodeDeleting && !r.deleting {
			r.current[vmToken(r.uid, n.Want.Name, n.Generation)] = n.Want.Name
			r.places[n.Want.Name] = n.Want.place()
		}
	}
	regions := slices.Clone(r.r.Regions)
	r.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	for _, x := range regions {
		p := newPipeline(r, x)
		g.Go(func() error { return p.run(ctx) })
	}
	return g.Wait()
}

// finish records what became of an apply.
func (r *run) finish(ctx context.Context) error {
	if err := r.dropHomeless(ctx); err != nil {
		return err
	}
	var ops []kv.Op
	ready, failed, left := 0, 0, 0
	reason := ""
	for _, name := range sortedNodes(r.nodes) {
		switch n := r.nodes[name]; n.Phase {
		case NodeReady:
			ready++
			if !n.Established {
				n.Established = true
				ops = append(ops, kv.Put(nodeKey(r.name, name), encode(n)))
			}
		case NodeDeleting:
			left++
			if reason == "" {
				reason = fmt.Sprintf("%s is not removed: %s", name, n.Reason)
			}
		default:
			failed++
			if reason == "" {
				reason = fmt.Sprintf("%s: %s", name, n.Reason)
			}
		}
	}
	undone := ""
	for _, x := range r.r.Regions {
		if why, ok := r.left[x.place()]; ok {
			undone = cmp.Or(undone, fmt.Sprintf("%s %s", x.place(), why))
		}
	}
	reason = cmp.Or(reason, undone)
	if err := r.commit(ctx, ops); err != nil {
		return err
	}
	phase := PhaseReady
	switch {
	case r.r.Rollback != "":
		phase, reason = PhaseFailed, "rolled back: "+r.r.Rollback
	case failed > 0 && ready == 0:
		phase = PhaseFailed
	case failed > 0 || left > 0 || undone != "":
		phase = PhaseDegraded
	}
	if failed > 1 {
		reason = fmt.Sprintf("%d nodes failed, the first: %s", failed, reason)
	}
	return r.settle(ctx, phase, reason, undone)
}

// dropHomeless closes and forgets nodes that are no longer wanted and whose
// place has no pipeline: nothing of theirs was ever made.
func (r *run) dropHomeless(ctx context.Context) error {
	var ops []kv.Op
	for _, name := range sortedNodes(r.nodes) {
		n := r.nodes[name]
		if n.Phase != NodeDeleting || slices.ContainsFunc(r.r.Regions, func(x regionRecord) bool { return x.place() == n.Want.place() }) {
			continue
		}
		if err := r.s.enroller.Close(ctx, name); err != nil {
			return fmt.Errorf("close node %s: %w", name, err)
		}
		ops = append(ops, kv.Delete(nodeKey(r.name, name)))
		delete(r.nodes, name)
	}
	return r.commit(ctx, ops)
}

// settle ends the run. undone is what stays so when all nodes have come.
func (r *run) settle(ctx context.Context, phase Phase, reason, undone string) error {
	err := r.update(ctx, func(x *record) { x.Phase, x.Reason, x.Left = phase, reason, undone })
	if err != nil {
		return err
	}
	took := time.Since(r.r.Since).Round(time.Millisecond)
	r.s.log.Info("mcis is settled", "mcis", r.name, "phase", phase, "took", took, "reason", reason)
	msg := fmt.Sprintf("%s after %s", phase, took)
	if reason != "" {
		msg += ": " + reason
	}
	r.event(Event{Step: "done", Message: msg})
	return nil
}
