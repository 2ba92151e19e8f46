package mcis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// creates reports whether any node here still needs its machine.
func (p *pipeline) creates() bool {
	for _, n := range p.nodes {
		if n.wanted(p.r) && n.rec.ID == "" && !n.final {
			return true
		}
	}
	return false
}

var (
	// errStore marks an error of our store: the run is interrupted and taken up
	// again.
	errStore = errors.New("store")
	// errEnroller marks an error of the enroller: the step is tried again.
	errEnroller = errors.New("enroller")
)

// lasting reports whether the same call, made again, would fail again. What the
// call refers to may not be visible yet, so ErrNotFound passes.
func lasting(err error) bool {
	if cloud.Retryable(err) || errors.Is(err, cloud.ErrNotFound) || errors.Is(err, cloud.ErrInUse) || errors.Is(err, errEnroller) {
		return false
	}
	return !errors.Is(err, context.DeadlineExceeded)
}

// create asks for the machines that are missing, a few at a time.
func (p *pipeline) create(now time.Time) {
	busy := 0
	for _, n := range p.nodes {
		if n.try.busy {
			busy++
		}
	}
	for _, n := range p.nodes {
		if busy >= p.r.s.opt.Parallel {
			return
		}
		if p.net == nil || !n.wanted(p.r) || n.rec.ID != "" || n.final || n.failing || !n.try.due(now) || p.blocked(n, now) {
			continue
		}
		busy++
		n.since = now
		first := n.try.n == 0
		n.try.start(now)
		if first {
			p.event("vm", n.rec.Want.Name, fmt.Sprintf("creating %s", n.rec.Want.MachineName))
		}
		rec, e := *n.rec, n.entry
		p.spawn(func(ctx context.Context) func() error {
			res := p.createVM(ctx, rec, e)
			return func() error { return p.created(ctx, n, res) }
		})
	}
}

// blocked reports whether an earlier machine of the node is in the way: still
// listed, perhaps still appearing, or still in the mesh, which it then ends.
func (p *pipeline) blocked(n *nodeState, now time.Time) bool {
	if n.rec.Generation == 1 {
		return false
	}
	name := n.rec.Want.Name
	for _, res := range p.leftovers {
		if p.nodeOf(res) == name {
			return true
		}
	}
	if n.entry != nil {
		return false // the earlier ones were out of the way before it was journaled
	}
	for g := n.rec.Generation - 1; g > 0; g-- {
		e := p.r.entry(vmEntryID(name, g))
		if e != nil && e.Cloud == p.at.Cloud && e.Region == p.at.Region && !p.proven(e) {
			return true
		}
	}
	if !n.closed {
		p.close(n, now)
		return true
	}
	_, joined := p.r.s.members.Joined(name)
	return joined && now.Sub(n.since) < revokeTimeout
}

// revokeTimeout is how long a new machine waits for the mesh to drop its
// predecessor.
const revokeTimeout = time.Minute

// creation is the result of a create job.
type creation struct {
	entry *entry     // journaled; nil if that failed
	ip    netip.Addr // overlay address, if entry is new
	vm    cloud.VM
	err   error
}

// createVM journals the machine, unless it is (e), and makes the call with the
// journaled request. It runs beside the pipeline and touches nothing of it.
func (p *pipeline) createVM(ctx context.Context, rec nodeRecord, e *entry) (res creation) {
	res.entry = e
	if e == nil {
		if res.entry, res.ip, res.err = p.journal(ctx, rec); res.err != nil {
			return res
		}
	} else if err := p.r.s.enroller.Extend(ctx, rec.Want.Name); err != nil {
		res.err = fmt.Errorf("%w: extend token of %s: %w", errEnroller, rec.Want.Name, err)
		return res
	}
	var spec cloud.VMSpec
	if err := p.r.s.openRequest(res.entry, &spec); err != nil {
		res.err = fmt.Errorf("%w: %w", errStore, err)
		return res
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	res.vm, res.err = p.driver().CreateVM(ctx, spec)
	return res
}

// journal writes the entry of a node's machine with the exact request, and the
// node's new phase, in one transaction.
func (p *pipeline) journal(ctx context.Context, rec nodeRecord) (*entry, netip.Addr, error) {
	w, s := &rec.Want, p.r.s
	p.r.mu.Lock()
	slice := p.r.r.Spec.Network.CIDR
	p.r.mu.Unlock()
	en, err := s.enroller.Token(ctx, NodeRequest{
		Node: w.Name, MCIS: p.r.name, Slice: slice, Groups: []string{p.r.name, p.r.name + "/" + w.Group},
		Roles: w.Roles, Routes: w.Routes,
	})
	if err != nil {
		return nil, en.IP, fmt.Errorf("%w: token of node %s: %w", errEnroller, w.Name, err)
	}
	script, err := UserData(Boot{Daemon: s.daemon, Token: en.Token, Network: networkID(p.r.uid, p.r.name, p.at), Public: w.PublicIP})
	if err != nil {
		return nil, en.IP, fmt.Errorf("user-data of node %s: %w", w.Name, err)
	}
	e := &entry{
		Format: recordFormat, ID: vmEntryID(w.Name, rec.Generation), Cloud: p.at.Cloud, Region: p.at.Region,
		Node: w.Name, Generation: rec.Generation, Token: vmToken(p.r.uid, w.Name, rec.Generation),
		State: stateOpen, Time: time.Now(),
	}
	e.Request, err = s.sealRequest(cloud.VMSpec{
		Owner: p.r.owner(), Region: p.at.Region, Name: vmName(p.r.uid, w.Name, rec.Generation), Node: w.Name,
		Token: e.Token, Network: *p.net, PrivateIP: w.PrivateIP, Spec: w.MachineName, Image: w.ImageID,
		UserData: script, PublicIP: w.PublicIP, Forwards: len(w.Roles) > 0, Labels: w.Labels,
	})
	if err != nil {
		return nil, en.IP, fmt.Errorf("%w: %w", errStore, err)
	}
	rec.Phase, rec.IP, rec.Reason = NodeCreating, en.IP, ""
	err = s.store.Txn(ctx, kv.Create(journalKey(p.r.name, *e), encode(e)), kv.Put(nodeKey(p.r.name, w.Name), encode(rec)))
	if err != nil {
		return nil, en.IP, fmt.Errorf("%w: journal vm of %s: %w", errStore, w.Name, err)
	}
	return e, en.IP, nil
}

// created takes the result of a create call.
func (p *pipeline) created(ctx context.Context, n *nodeState, res creation) error {
	if n.entry == nil && res.entry != nil {
		n.entry, n.closed = res.entry, false
		n.rec.Phase, n.rec.IP, n.rec.Reason = NodeCreating, res.ip, ""
		p.r.addEntry(res.entry)
	}
	vm, err, begin := res.vm, res.err, n.try.begin
	n.try.end(err)
	n.created = time.Now()
	switch {
	case err == nil && vm.State == cloud.VMDeleting:
		return p.gone(ctx, n, "the machine is being deleted in the cloud")
	case err == nil:
		return p.adopt(ctx, n, vm, "created "+vm.ID)
	case errors.Is(err, errStore) || ctx.Err() != nil:
		return err
	case !lasting(err) && time.Since(begin) < p.r.s.opt.Deadline:
		p.event("vm", n.rec.Want.Name, "again: "+err.Error())
		return nil
	}
	return p.fail(ctx, n, fmt.Sprintf("create vm: %v", err))
}

// adopt records that the node's machine exists.
func (p *pipeline) adopt(ctx context.Context, n *nodeState, vm cloud.VM, msg string) error {
	e := n.entry
	e.State, e.CloudID, e.Error, e.Time = stateDone, vm.ID, "", time.Now()
	n.since, n.final = time.Now(), false // also if it was given up too early
	n.rec.Phase, n.rec.ID = NodeJoining, vm.ID
	p.address(n.rec, vm)
	p.event("vm", n.rec.Want.Name, msg)
	return p.write(ctx, kv.Put(journalKey(p.r.name, *e), encode(e)), kv.Put(nodeKey(p.r.name, n.rec.Want.Name), encode(n.rec)))
}

// address takes over what the cloud says of a machine and reports whether that
// is news.
func (p *pipeline) address(rec *nodeRecord, vm cloud.VM) bool {
	old := *rec
	rec.PublicIP, rec.Zone = vm.PublicIP, vm.Zone
	return old.PublicIP != rec.PublicIP || old.Zone != rec.Zone
}

// write puts records into the store.
func (p *pipeline) write(ctx context.Context, ops ...kv.Op) error {
	if err := p.r.s.store.Txn(ctx, ops...); err != nil {
		return fmt.Errorf("write %s: %w", ops[0].Key, err)
	}
	return nil
}
