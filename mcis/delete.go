package mcis

import (
	"context"
	"fmt"

	"github.com/cbnet-io/cbnet/store/kv"
)

// delete removes everything that bears the mark of the MCIS, in all places at
// once, then its nodes and journal, and its record last. It does not give up:
// what a cloud refuses is in the record's reason meanwhile.
func (r *run) delete(ctx context.Context) error {
	calls, stop := drained(ctx, r.calls)
	defer stop()
	r.calls = calls
	if err := r.pipelines(ctx); err != nil {
		return err
	}
	var ops []kv.Op
	for _, name := range sortedNodes(r.nodes) {
		if err := r.s.enroller.Close(ctx, name); err != nil {
			return fmt.Errorf("close node %s: %w", name, err)
		}
		ops = append(ops, kv.Delete(nodeKey(r.name, name)))
	}
	for _, e := range r.entries {
		ops = append(ops, kv.Delete(journalKey(r.name, *e)))
	}
	if err := r.commit(ctx, ops); err != nil {
		return err
	}
	if err := r.commit(ctx, []kv.Op{kv.Delete(recordKey(r.name))}); err != nil {
		return err
	}
	r.s.log.Info("mcis is deleted", "mcis", r.name)
	r.event(Event{Step: "done", Message: "gone", Gone: true})
	return nil
}
