package mcis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// deleteAgain is when a delete that the cloud accepted is asked for once more,
// if its object is still listed.
const deleteAgain = 30 * time.Second

// nodeOf returns the node that a resource was made for, by its mark or else by
// the name that a machine shares with its ports, or "".
func (p *pipeline) nodeOf(res cloud.Resource) string {
	if res.VM != nil && res.VM.Node != "" {
		return res.VM.Node
	}
	if name := res.Tags[cloud.KeyNode]; name != "" {
		return name
	}
	for _, n := range p.nodes {
		for g := n.rec.Generation; g > 0 && res.Kind == cloud.KindPort; g-- {
			if res.Name == vmName(p.r.uid, n.rec.Want.Name, g) {
				return n.rec.Want.Name
			}
		}
	}
	return ""
}

// tokenOf returns the token of a listed machine, by its mark or else its name.
func (p *pipeline) tokenOf(res cloud.Resource) string {
	if res.VM.Token != "" {
		return res.VM.Token
	}
	for _, n := range p.nodes {
		if res.Name == vmName(p.r.uid, n.rec.Want.Name, n.rec.Generation) {
			return vmToken(p.r.uid, n.rec.Want.Name, n.rec.Generation)
		}
	}
	return ""
}

// findLeftovers returns what is listed and should not be here: everything,
// where nothing is wanted, else machines that are no present generation of any
// node, second machines of one, and what was made for such nodes.
func (p *pipeline) findLeftovers() []cloud.Resource {
	if !p.inhabited() {
		return p.listed
	}
	var out []cloud.Resource
	for _, res := range p.listed {
		if p.leftover(res) {
			out = append(out, res)
		}
	}
	return out
}

func (p *pipeline) leftover(res cloud.Resource) bool {
	switch res.Kind {
	case cloud.KindVM:
		if res.VM == nil {
			return false
		}
		node, current := p.r.holder(p.tokenOf(res))
		if !current {
			return true
		}
		n := p.node(node)
		return n != nil && n.rec.ID != "" && n.rec.ID != res.ID && p.lists(n.rec.ID)
	case cloud.KindPort, cloud.KindPublicIP:
		name := p.nodeOf(res)
		if name == "" {
			return false
		}
		if n := p.node(name); n != nil {
			older := res.Tags[cloud.KeyNode] == "" && res.Name != vmName(p.r.uid, name, n.rec.Generation)
			return !n.wanted(p.r) || older || n.entry == nil && !n.try.busy
		}
		return !p.r.wantsIn(name, p.at.Region)
	}
	return false
}

func (p *pipeline) node(name string) *nodeState {
	for _, n := range p.nodes {
		if n.rec.Want.Name == name {
			return n
		}
	}
	return nil
}

func (p *pipeline) lists(id string) bool {
	return slices.ContainsFunc(p.listed, func(res cloud.Resource) bool { return res.ID == id })
}

// remove starts the deletes that are due: machines first, and what they used
// when lists no longer show them.
func (p *pipeline) remove(now time.Time) {
	for _, n := range p.nodes {
		if !n.wanted(p.r) {
			p.close(n, now)
		}
	}
	for _, e := range p.r.entriesIn(p.at) {
		p.deleteRecorded(e, now)
	}
	vms := make(map[string]bool) // nodes whose machines are still listed
	for _, res := range p.leftovers {
		if res.Kind == cloud.KindVM {
			vms[p.nodeOf(res)] = true
			p.delete(res, now)
		}
	}
	if !p.inhabited() {
		if len(vms) == 0 {
			p.sweep(now)
		}
		return
	}
	for _, res := range p.leftovers {
		if res.Kind != cloud.KindVM && !vms[p.nodeOf(res)] {
			p.delete(res, now)
		}
	}
}

// close ends the membership of a node that goes, or of a machine that is
// replaced.
func (p *pipeline) close(n *nodeState, now time.Time) {
	if n.closed || !n.try.due(now) {
		return
	}
	n.try.start(now)
	name := n.rec.Want.Name
	if !n.wanted(p.r) {
		p.event("delete", name, "deleting")
	}
	p.spawn(func(ctx context.Context) func() error {
		err := p.r.s.enroller.Close(ctx, name)
		return func() error {
			n.try.end(err)
			if n.closed = err == nil; err != nil {
				p.report(ctx, fmt.Sprintf("close node %s: %v", name, err))
			}
			return nil
		}
	})
}

// deleteRecorded deletes a machine that is not wanted by the id in the journal
// when lists do not show it: it may be too new for them.
func (p *pipeline) deleteRecorded(e *entry, now time.Time) {
	if e.Node == "" || e.CloudID == "" || p.shown[e.CloudID] {
		return
	}
	if n := p.node(e.Node); n != nil && n.wanted(p.r) && n.rec.Generation == e.Generation {
		return
	}
	name := vmName(p.r.uid, e.Node, e.Generation)
	p.delete(cloud.Resource{
		Kind: cloud.KindVM, Region: p.at.Region, ID: e.CloudID, Name: name, Owner: p.r.owner(),
		VM: &cloud.VM{ID: e.CloudID, Name: name, Node: e.Node, Token: e.Token},
	}, now)
}

// delete asks the cloud to delete one resource, if that is due.
func (p *pipeline) delete(res cloud.Resource, now time.Time) {
	a := p.deletes[res.ID]
	if a == nil {
		a = &attempts{}
		p.deletes[res.ID] = a
	}
	if !a.due(now) || p.deleting >= p.r.s.opt.Parallel {
		return
	}
	a.start(now)
	p.deleting++
	p.spawn(func(ctx context.Context) func() error {
		callCtx, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		err := p.driver().Delete(callCtx, res)
		return func() error {
			p.deleting--
			a.end(err)
			if err == nil {
				a.not = time.Now().Add(deleteAgain)
			} else {
				p.deleteFailed(ctx, res, err)
			}
			return nil
		}
	})
}

// deleteFailed tells of an error that does not pass by itself.
func (p *pipeline) deleteFailed(ctx context.Context, res cloud.Resource, err error) {
	if cloud.Retryable(err) || errors.Is(err, cloud.ErrInUse) || ctx.Err() != nil {
		return
	}
	p.report(ctx, fmt.Sprintf("delete %s %s in %s: %v", res.Kind, res.ID, p.at, err))
}

// sweep deletes what is left of a place where nothing is wanted, in one job and
// in the order that the dependencies need. What is still in use waits for the
// next list.
func (p *pipeline) sweep(now time.Time) {
	if p.sweepTry.busy || !p.sweepTry.due(now) || !p.listTime.After(p.swept) || len(p.leftovers) == 0 {
		return
	}
	p.sweepTry.start(now)
	todo := cloud.DeleteOrder(p.leftovers)
	p.event("delete", "", fmt.Sprintf("deleting network, %d resources", len(todo)))
	p.spawn(func(ctx context.Context) func() error {
		var err error
		var at cloud.Resource
		for _, at = range todo {
			callCtx, cancel := context.WithTimeout(ctx, changeTimeout)
			err = p.driver().Delete(callCtx, at)
			cancel()
			if err != nil {
				break
			}
		}
		return func() error {
			p.sweepTry.end(err)
			p.swept = time.Now()
			if err != nil {
				p.deleteFailed(ctx, at, err)
			}
			return nil
		}
	})
}

// quiet returns the time from which a list that does not show what an entry
// made proves that it is not there.
func (p *pipeline) quiet(e *entry) time.Time {
	grace := p.r.s.opt.Grace
	at := e.Time
	if at.After(time.Now()) {
		at = p.begin // the clock was set back since
	}
	switch {
	case e.CloudID != "" && p.shown[e.CloudID]:
		return time.Time{}
	case e.CloudID != "":
		return at.Add(grace)
	}
	last := p.begin // calls of an earlier process ended before, but may take effect late
	if at.After(last) {
		last = at
	}
	if n := p.node(e.Node); n != nil && n.created.After(last) {
		last = n.created
	}
	return last.Add(grace)
}

// proven reports whether the last list proves that nothing of an entry is
// there.
func (p *pipeline) proven(e *entry) bool {
	if e.CloudID != "" && p.lists(e.CloudID) {
		return false
	}
	if e.Node != "" && e.CloudID != "" && !p.shown[e.CloudID] {
		if a := p.deletes[e.CloudID]; a == nil || a.busy || a.last != nil {
			return false // lists may not show it yet: first it is deleted by its id
		}
	}
	return p.listTime.After(p.quiet(e))
}

// forget removes nodes that are gone, and entries of earlier generations that
// are, from the store.
func (p *pipeline) forget(ctx context.Context) error {
	for i := 0; i < len(p.nodes); {
		n := p.nodes[i]
		if n.wanted(p.r) || !p.isGone(n) {
			i++
			continue
		}
		name := n.rec.Want.Name
		if err := p.r.past(ctx, n.rec.Generation); err != nil {
			return err
		}
		ops := []kv.Op{kv.Delete(nodeKey(p.r.name, name))}
		for _, e := range p.entriesOf(name) {
			ops = append(ops, kv.Delete(journalKey(p.r.name, *e)))
		}
		if err := p.r.commit(ctx, ops); err != nil {
			return err
		}
		p.r.forget(name, p.entriesOf(name))
		p.nodes = slices.Delete(p.nodes, i, i+1)
		p.event("delete", name, "gone")
	}
	for _, e := range p.r.entriesIn(p.at) {
		if e.State != stateAbandoned || !p.proven(e) {
			continue
		}
		if err := p.write(ctx, kv.Delete(journalKey(p.r.name, *e))); err != nil {
			return err
		}
		p.r.forget("", []*entry{e})
	}
	return nil
}

// isGone reports whether nothing is left of a node that should go.
func (p *pipeline) isGone(n *nodeState) bool {
	if !n.closed || n.try.busy {
		return false
	}
	for _, res := range p.listed {
		if p.nodeOf(res) == n.rec.Want.Name {
			return false
		}
	}
	for _, e := range p.entriesOf(n.rec.Want.Name) {
		if !p.proven(e) {
			return false
		}
	}
	return true
}

// entriesOf returns the entries of a node's machines in this place.
func (p *pipeline) entriesOf(node string) []*entry {
	return slices.DeleteFunc(p.r.entriesIn(p.at), func(e *entry) bool { return e.Node != node })
}

// vacated ends a place where nothing is wanted and nothing is left: its journal
// first, then its mention in the record.
func (p *pipeline) vacated(ctx context.Context) (bool, error) {
	if len(p.nodes) > 0 || len(p.listed) > 0 || !p.listTime.After(p.swept) {
		return false, nil
	}
	entries := p.r.entriesIn(p.at)
	var ops []kv.Op
	for _, e := range entries {
		if e.Node == "" && p.infra && e.State == stateDone {
			// shown in lists before: its absence is proof
		} else if !p.proven(e) {
			return false, nil
		}
		ops = append(ops, kv.Delete(journalKey(p.r.name, *e)))
	}
	if err := p.r.commit(ctx, ops); err != nil {
		return false, err
	}
	p.r.forget("", entries)
	err := p.r.update(ctx, func(x *record) {
		x.Regions = slices.DeleteFunc(x.Regions, func(r regionRecord) bool { return r.place() == p.at })
	})
	if err == nil {
		p.event("delete", "", "empty")
	}
	return err == nil, err
}
