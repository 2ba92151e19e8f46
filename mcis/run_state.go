package mcis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// run is one apply or delete under way.
type run struct {
	s        *Service
	name     string
	uid      string
	number   int
	deleting bool
	calls    context.Context // lives longer than the run: calls under way end in order when it is superseded

	mu      sync.Mutex
	r       *record                // guarded by mu
	nodes   map[string]*nodeRecord // the map is guarded by mu; each node belongs to the pipeline of its place
	entries map[string]*entry      // the same holds
	current map[string]string      // guarded by mu: node by token of its present generation
	places  map[string]place       // guarded by mu: of wanted nodes
	left    map[place]string       // guarded by mu: in what a place is not as it should be
}

// newRun reads everything that is recorded of an MCIS.
func (s *Service) newRun(ctx context.Context, r *record) (*run, error) {
	nodes, err := s.loadNodes(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	entries, err := s.loadEntries(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	return &run{
		s: s, name: r.Name, uid: r.UID, number: r.Run, deleting: r.Phase == PhaseDeleting, calls: ctx,
		r: r, nodes: nodes, entries: entries,
	}, nil
}

// update changes the record, unless a newer run is wanted: that is
// errSuperseded.
func (r *run) update(ctx context.Context, change func(*record)) error {
	for {
		fresh, err := r.s.load(ctx, r.name)
		if err != nil {
			return err
		}
		if fresh.Run != r.number || (fresh.Phase == PhaseDeleting) != r.deleting {
			return errSuperseded
		}
		change(fresh)
		err = r.s.save(ctx, fresh)
		if errors.Is(err, kv.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.r = fresh
		r.mu.Unlock()
		return nil
	}
}

// past records, before a node is forgotten, that its generation was used.
func (r *run) past(ctx context.Context, generation int) error {
	r.mu.Lock()
	known := r.deleting || r.r.Past >= generation
	r.mu.Unlock()
	if known {
		return nil
	}
	return r.update(ctx, func(x *record) { x.Past = max(x.Past, generation) })
}

// commit writes many keys, as many at a time as a transaction takes.
func (r *run) commit(ctx context.Context, ops []kv.Op) error {
	for part := range slices.Chunk(ops, kv.MaxOps) {
		if err := r.s.store.Txn(ctx, part...); err != nil {
			return fmt.Errorf("write %s: %w", part[0].Key, err)
		}
	}
	return nil
}

// event publishes a step of this run.
func (r *run) event(e Event) {
	r.mu.Lock()
	rec := r.r
	r.mu.Unlock()
	r.s.publish(rec, e)
}

func (r *run) owner() cloud.Owner { return cloud.Owner{Mesh: r.s.mesh.UID, MCIS: r.uid} }

// entry returns an entry of the journal, or nil.
func (r *run) entry(id string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[id]
}

func (r *run) addEntry(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[e.ID] = e
}

// entriesIn returns the entries of a place, sorted.
func (r *run) entriesIn(at place) []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*entry
	for _, e := range r.entries {
		if e.Cloud == at.Cloud && e.Region == at.Region {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// forget drops what was removed from the store.
func (r *run) forget(node string, entries []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, node)
	for _, e := range entries {
		delete(r.entries, e.ID)
	}
}

// holder returns the node whose present generation has the token.
func (r *run) holder(token string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	node, ok := r.current[token]
	return node, ok && token != ""
}

// renew gives a node its next token.
func (r *run) renew(node, old, next string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.current, old)
	r.current[next] = node
}

// leave notes in what a place is not as it should be.
func (r *run) leave(at place, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		r.left = make(map[place]string)
	}
	r.left[at] = reason
}

// notElsewhere drops from a list what belongs to another place of this MCIS:
// two accounts may be names of the same one, and then list the same.
func (r *run) notElsewhere(at place, list []cloud.Resource) []cloud.Resource {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make(map[string]bool)
	for _, x := range r.r.Regions {
		if x.Region == at.Region && x.Cloud != at.Cloud {
			names[networkName(r.uid, r.name, x.place())] = true
		}
	}
	if len(names) == 0 {
		return list
	}
	for _, e := range r.entries {
		if e.Node != "" && e.Region == at.Region && e.Cloud != at.Cloud {
			names[vmName(r.uid, e.Node, e.Generation)] = true
		}
	}
	return slices.DeleteFunc(list, func(res cloud.Resource) bool {
		if names[res.Name] {
			return true
		}
		if res.VM == nil || res.VM.Token == "" {
			return false
		}
		node, ok := r.current[res.VM.Token] // not journaled in r.entries while its create is under way
		return ok && r.places[node] != at
	})
}

// wantsIn reports whether a node is wanted in a region of any account.
func (r *run) wantsIn(node, region string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.places[node].Region == region
}
