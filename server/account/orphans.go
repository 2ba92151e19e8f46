package account

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
)

// orphan is an Orphan while it goes.
type orphan struct {
	Orphan
	listed bool      // by the last list
	tried  bool      // its delete was asked for
	asked  time.Time // when the cloud last accepted that
	stuck  bool      // its delete fails for good
}

func key(r cloud.Resource) string { return r.Region + "/" + string(r.Kind) + "/" + r.ID }

// look lists the open regions and, after that, finds out what has no owner.
func (w *sweep) look(ctx context.Context) error {
	lists := w.a.lists(ctx, w.open)
	owners, err := w.Owners(ctx)
	if err != nil || ctx.Err() != nil {
		return fmt.Errorf("owners: %w", cmp.Or(err, ctx.Err()))
	}
	w.open = nil
	for _, l := range lists {
		if l.err != nil {
			w.noAnswer(l)
			continue
		}
		w.answered[l.region] = true
		delete(w.failed, l.region)
		w.open = append(w.open, l.region)
		w.compare(l, owners)
	}
	return nil
}

// noAnswer keeps a region whose list failed in a way that may pass.
func (w *sweep) noAnswer(l listing) {
	if w.failed[l.region] == nil {
		w.report(Step{Verb: "failed", Region: l.region, Message: l.err.Error()})
	}
	w.failed[l.region] = l.err
	if cloud.Retryable(l.err) && !w.DryRun {
		w.open = append(w.open, l.region)
	}
}

// compare takes the list of a region.
func (w *sweep) compare(l listing, owners mcis.Owners) {
	shown := make(map[string]bool)
	for _, res := range l.resources {
		if _, owned := owners.Of(res); owned {
			continue
		}
		k := key(res)
		shown[k] = true
		o := w.orphans[k]
		if o == nil {
			o = &orphan{}
			w.orphans[k] = o
			w.keys = append(w.keys, k)
			o.Resource = res
			w.tell(o, "found", "")
		}
		o.Resource, o.listed, o.Outcome = res, true, Found
	}
	for _, k := range w.keys {
		if o := w.orphans[k]; o.Region == l.region && o.listed && !shown[k] {
			o.listed, o.Outcome, o.Why = false, Gone, ""
			w.tell(o, Gone, "")
		}
	}
}
