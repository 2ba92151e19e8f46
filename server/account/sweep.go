package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
)

// Sweep says what to sweep and how.
type Sweep struct {
	// Owners tells who owns what at the moment of the call. What a list showed
	// before the call, and the call knows no owner of, is an orphan for ever.
	Owners func(ctx context.Context) (mcis.Owners, error)
	Region string // only this one; empty: all
	DryRun bool   // delete nothing
	// Grace is the least age of machines, where the cloud tells it, of all that
	// bears one MCIS's mark. What is younger is waited for.
	Grace time.Duration
	// Timeout is how long the whole may take. Default 10 min.
	Timeout time.Duration
	// Tick is the pause between two rounds of lists. Default 2 s.
	Tick time.Duration
	// Report is told of every step, by one goroutine at a time; nil: nobody is.
	Report func(Step)
}

// What becomes of an orphan.
const (
	Found = "found" // it is there
	Gone  = "gone"  // lists do not show it any more
	Left  = "left"  // it could not be deleted
)

// Step is a step of a sweep.
type Step struct {
	Verb     string // "found", "wait", "delete", "gone", "failed"
	Region   string
	Resource *cloud.Resource // nil: the step is about the region
	Message  string
}

// Orphan is an object without an owner, and what became of it.
type Orphan struct {
	cloud.Resource
	Outcome string // Found, Gone or Left
	Why     string // of Found or Left
}

// Swept is what a sweep came to.
type Swept struct {
	Orphans []Orphan           // in the order of deletion, by region
	Failed  []*mcis.CloudError // regions that did not answer, by name
}

// OK reports whether every region answered and nothing is left.
func (s Swept) OK() bool {
	return len(s.Failed) == 0 && !slices.ContainsFunc(s.Orphans, func(o Orphan) bool { return o.Outcome == Left })
}

// again is when a delete that the cloud accepted is asked for once more.
const again = 30 * time.Second

// Sweep deletes what bears the mesh's mark and belongs to no MCIS, machines
// first, and returns when lists show none of it any more, or at the end of
// Timeout or ctx with what is left. The error is of the account or the owners as
// a whole; then nothing more is deleted.
func (a Account) Sweep(ctx context.Context, s Sweep) (Swept, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.Timeout, 10*time.Minute))
	defer cancel()
	regions, err := a.scope(ctx, s.Region)
	if err != nil {
		return Swept{}, err
	}
	w := &sweep{
		a: a, Sweep: s, open: regions, orphans: make(map[string]*orphan),
		answered: make(map[string]bool), failed: make(map[string]*mcis.CloudError),
	}
	w.Tick = cmp.Or(w.Tick, 2*time.Second)
	for {
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			w.end(ctx.Err())
			return w.swept(), nil
		case err != nil:
			return w.swept(), err
		}
		due, waits := w.due()
		if s.DryRun || !w.deleteAll(ctx, due) && !waits {
			return w.swept(), nil
		}
		pause(ctx, w.Tick*3/4+rand.N(w.Tick/2+1))
	}
}

// sweep is a Sweep under way. One goroutine owns it.
type sweep struct {
	a Account
	Sweep
	open     []string                    // regions that are still asked
	answered map[string]bool             // regions that ever did
	failed   map[string]*mcis.CloudError // by region: the last list
	orphans  map[string]*orphan          // every one that was ever seen
	keys     []string                    // of orphans, in the order in which they were seen

	mu sync.Mutex // one report at a time
}

func (w *sweep) report(s Step) {
	if w.Report == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Report(s)
}

func (w *sweep) tell(o *orphan, verb, message string) {
	w.report(Step{Verb: verb, Region: o.Region, Resource: &o.Resource, Message: message})
}

// group is what bears one MCIS's mark in one region and is listed.
type group struct {
	machines, rest []*orphan
}

// due returns what may be deleted now, and whether anything else is to be waited
// for: a region that does not answer, or what is too young.
func (w *sweep) due() (due []*group, waits bool) {
	groups := make(map[[2]string]*group)
	var order [][2]string
	for _, k := range w.keys {
		o := w.orphans[k]
		if !o.listed || w.failed[o.Region] != nil {
			continue
		}
		id := [2]string{o.Region, o.Owner.MCIS}
		if groups[id] == nil {
			groups[id] = &group{}
			order = append(order, id)
		}
		groups[id].add(o)
	}
	for _, id := range order {
		if wait := w.young(id[1]); wait > 0 {
			w.hold(groups[id], wait)
			waits = true
		} else {
			due = append(due, groups[id])
		}
	}
	return due, waits || slices.ContainsFunc(w.open, func(region string) bool { return w.failed[region] != nil })
}

// add keeps what machines used in the order in which it can be deleted.
func (g *group) add(o *orphan) {
	if o.Kind == cloud.KindVM {
		g.machines = append(g.machines, o)
		return
	}
	i := slices.IndexFunc(g.rest, func(x *orphan) bool {
		return key(cloud.DeleteOrder([]cloud.Resource{x.Resource, o.Resource})[0]) == key(o.Resource)
	})
	if i < 0 {
		i = len(g.rest)
	}
	g.rest = slices.Insert(g.rest, i, o)
}

// young returns how long the youngest machine of an MCIS still has to wait.
func (w *sweep) young(owner string) time.Duration {
	var wait time.Duration
	for _, o := range w.orphans {
		if o.listed && o.Owner.MCIS == owner && o.VM != nil && !o.VM.Created.IsZero() {
			wait = max(wait, w.Grace-time.Since(o.VM.Created))
		}
	}
	return wait
}

// hold says once of what is too young why it is still there.
func (w *sweep) hold(g *group, wait time.Duration) {
	for _, o := range slices.Concat(g.machines, g.rest) {
		if o.Why == "" {
			o.Why = fmt.Sprintf("younger than %s, for %s more: its create may be under way", w.Grace, wait.Round(time.Second))
			w.tell(o, "wait", o.Why)
		}
	}
}

// end notes what the end of the time left undone.
func (w *sweep) end(cause error) {
	for _, region := range w.open {
		if !w.answered[region] && w.failed[region] == nil {
			w.failed[region] = w.a.fault(region, "inventory", cause)
		}
	}
	why := "given up by the deadline"
	if !errors.Is(cause, context.DeadlineExceeded) {
		why = "interrupted"
	}
	for _, k := range w.keys {
		if o := w.orphans[k]; o.listed {
			o.Why = strings.TrimSuffix(why+": "+o.Why, ": ")
		}
	}
}

// swept returns how things stand: what is still listed is left, but in a dry
// run.
func (w *sweep) swept() Swept {
	var out Swept
	for _, k := range w.keys {
		o := w.orphans[k]
		if o.listed && !w.DryRun {
			o.Outcome = Left
			if e := w.failed[o.Region]; e != nil && o.Why == "" {
				o.Why = e.Why()
			}
		}
		out.Orphans = append(out.Orphans, o.Orphan)
	}
	all := make([]cloud.Resource, len(out.Orphans))
	for i, o := range out.Orphans {
		all[i] = o.Resource
	}
	place := make(map[string]int)
	for i, r := range cloud.DeleteOrder(all) {
		place[key(r)] = i
	}
	slices.SortFunc(out.Orphans, func(a, b Orphan) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), cmp.Compare(place[key(a.Resource)], place[key(b.Resource)]))
	})
	for _, e := range w.failed {
		out.Failed = append(out.Failed, e)
	}
	slices.SortFunc(out.Failed, func(a, b *mcis.CloudError) int { return strings.Compare(a.Region, b.Region) })
	return out
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
