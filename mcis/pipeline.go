package mcis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// pipeline brings one region of one cloud to what is wanted there: the network,
// then the machines, and nothing else that bears our mark. It is level
// triggered. Each turn compares what is wanted with the last list of what is
// there and starts what is missing; nothing waits for a single machine.
//
// One goroutine owns all fields. Calls to the cloud run beside it, as jobs,
// and hand back a function that the owner runs.
type pipeline struct {
	r     *run
	at    place
	cidr  string
	api   atomic.Pointer[cloud.Driver] // of the account as it is now; jobs read it
	begin time.Time

	nodes []*nodeState // wanted here, or to be removed from here; by name
	jobs  int          // under way
	done  chan func() error

	net      *cloud.Network // nil until it is there
	netEntry *entry
	netTry   attempts
	netSpec  cloud.NetworkSpec // as it is wanted
	netAsked cloud.NetworkSpec // as netEntry asked for it; zero without one
	netLost  bool              // it cannot be had as it is wanted

	listed   []cloud.Resource // by the last list
	listTime time.Time        // when the last list was asked for; zero: never
	listing  bool
	listTry  attempts
	lost     bool            // lists fail for good
	shown    map[string]bool // ids that a list has shown
	infra    bool            // a list has shown a part of the network

	leftovers []cloud.Resource     // of listed, to be deleted
	deletes   map[string]*attempts // by id: deletes that were asked for
	deleting  int                  // under way
	sweepTry  attempts             // of deleting the rest of an unwanted place
	swept     time.Time            // when that last ended
	trouble   string               // why it does not go on, for the record
}

// attempts counts the tries of something.
type attempts struct {
	n     int       // failed in a row
	busy  bool      // one is under way
	not   time.Time // not before
	begin time.Time // of the first
	last  error
}

// due reports whether a try may begin.
func (a *attempts) due(now time.Time) bool { return !a.busy && !now.Before(a.not) }

// start notes the begin of a try.
func (a *attempts) start(now time.Time) {
	a.busy = true
	if a.begin.IsZero() {
		a.begin = now
	}
}

// end notes how a try ended; after an error the next one waits.
func (a *attempts) end(err error) {
	a.busy = false
	if a.last = err; err == nil {
		a.n, a.begin = 0, time.Time{}
		return
	}
	a.not = time.Now().Add(backoff(a.n, err))
	a.n++
}

// nodeState is a node in its pipeline.
type nodeState struct {
	rec      *nodeRecord
	entry    *entry // of the present generation; nil: not journaled yet
	since    time.Time
	try      attempts
	created  time.Time // when the last create call of this process ended
	missing  time.Time // since when lists do not show its machine
	replaced int       // in this run
	failing  bool      // the console is being fetched
	closed   bool      // its membership is ended
	final    bool      // failed, and nothing more will be tried in this run
}

func newPipeline(r *run, x regionRecord) *pipeline {
	p := &pipeline{
		r: r, at: x.place(), cidr: x.CIDR.String(), begin: time.Now(),
		done:  make(chan func() error),
		shown: make(map[string]bool), deletes: make(map[string]*attempts),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range sortedNodes(r.nodes) {
		n := r.nodes[name]
		if n.Want.place() == p.at {
			p.nodes = append(p.nodes, &nodeState{rec: n, entry: r.entries[vmEntryID(name, n.Generation)], since: p.begin})
		}
	}
	p.netEntry = r.entries[networkEntryID(p.at)]
	p.netSpec = cloud.NetworkSpec{
		Owner: r.owner(), Region: p.at.Region, Name: networkName(r.uid, r.name, p.at), CIDR: x.CIDR,
		Open: []cloud.Port{{Protocol: "udp", Number: r.s.daemon.Port}}, NAT: x.NAT, SSHKey: x.SSHKey,
	}
	return p
}

// run works until everything is settled. When ctx ends it waits for the calls
// under way, records what came of them, and returns ctx's error.
func (p *pipeline) run(ctx context.Context) error {
	if ok, err := p.open(ctx); !ok || err != nil {
		return err
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		joined := p.r.s.joined.wait()
		settled, err := p.turn(ctx)
		if settled || err != nil {
			return errors.Join(err, p.drain())
		}
		tick.Reset(p.wait())
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), p.drain())
		case f := <-p.done:
			p.jobs--
			if err := f(); err != nil {
				return errors.Join(err, p.drain())
			}
		case <-tick.C:
		case <-joined:
		}
	}
}

// open finds the driver. An account that is gone is waited for by a delete and
// fails an apply's nodes; ok is false then.
func (p *pipeline) open(ctx context.Context) (ok bool, err error) {
	for n := 0; ; n++ {
		c, err := p.r.s.clouds.Cloud(ctx, p.at.Cloud)
		if err == nil {
			p.api.Store(&c.Driver)
			return true, p.readNetwork()
		}
		if !p.r.deleting && errors.Is(err, ErrNoCloud) {
			p.leave(err.Error())
			return false, p.failAll(ctx, err)
		}
		p.report(ctx, fmt.Sprintf("cloud %s: %v", p.at.Cloud, err))
		if !pause(ctx, backoff(n, nil)) {
			return false, ctx.Err()
		}
	}
}

// driver returns the driver that calls go to.
func (p *pipeline) driver() cloud.Driver { return *p.api.Load() }

// renew takes the account as it is now: its user may have added it again with
// other credentials.
func (p *pipeline) renew(ctx context.Context) {
	if c, err := p.r.s.clouds.Cloud(ctx, p.at.Cloud); err == nil {
		p.api.Store(&c.Driver)
	}
}

// wait returns how long the next turn may wait if nothing happens.
func (p *pipeline) wait() time.Duration {
	d := jitter(p.r.s.opt.Tick)
	now := time.Now()
	soonest := func(a *attempts) {
		if left := a.not.Sub(now); !a.busy && left > 0 {
			d = min(d, left)
		}
	}
	soonest(&p.netTry)
	for _, n := range p.nodes {
		soonest(&n.try)
	}
	return max(d, time.Millisecond)
}

// spawn runs job beside the pipeline; what it returns is run by the owner.
func (p *pipeline) spawn(job func(ctx context.Context) func() error) {
	p.jobs++
	calls := p.r.calls
	go func() { p.done <- job(calls) }()
}

// drain waits for the jobs under way and takes their results.
func (p *pipeline) drain() error {
	var errs []error
	for ; p.jobs > 0; p.jobs-- {
		f := <-p.done
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// turn compares and starts what is due. settled is true when nothing is left
// to do here.
func (p *pipeline) turn(ctx context.Context) (settled bool, err error) {
	now := time.Now()
	p.leftovers = p.findLeftovers()
	p.list(now)
	for _, n := range p.nodes {
		if err := p.watch(ctx, n, now); err != nil {
			return false, err
		}
	}
	if p.listTime.IsZero() {
		return p.lost && p.jobs == 0, nil // nothing is decided before the first list
	}
	p.network(now)
	p.create(now)
	p.remove(now)
	if err := p.forget(ctx); err != nil {
		return false, err
	}
	return p.settled(ctx, now)
}

// list asks for everything that bears our mark, once a tick, while something
// is awaited of the cloud.
func (p *pipeline) list(now time.Time) {
	every := p.r.s.opt.Tick * 3 / 4
	if p.swept.After(p.listTime) && p.sweepTry.last == nil {
		every = 0 // this may be the last one
	}
	if p.listing || !p.listTry.due(now) || now.Sub(p.listTime) < every || (!p.listTime.IsZero() && !p.awaits()) {
		return
	}
	p.listing = true
	p.listTry.start(now)
	p.spawn(func(ctx context.Context) func() error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		res, err := p.driver().List(ctx, p.at.Region, p.r.owner())
		return func() error {
			ctx := p.r.calls
			p.listing = false
			recovered := err == nil && p.listTry.n > 0
			p.listTry.end(err)
			if err != nil {
				return p.listFailed(ctx, err)
			}
			if recovered {
				p.report(ctx, "")
			}
			p.listTime = now
			return p.observe(res)
		}
	})
}

// awaits reports whether the next list may bring something new.
func (p *pipeline) awaits() bool {
	if !p.inhabited() || len(p.leftovers) > 0 || p.unproven() {
		return true
	}
	for _, n := range p.nodes {
		if n.rec.Phase == NodeDeleting || n.rec.ID == "" && n.entry != nil && !n.final || n.rec.Phase == NodeJoining {
			return true
		}
	}
	return false
}

// listFailed gives up an apply whose lists fail for good; a delete goes on.
func (p *pipeline) listFailed(ctx context.Context, err error) error {
	err = fmt.Errorf("list %s: %w", p.at, err)
	p.renew(ctx)
	if p.r.deleting {
		if !cloud.Retryable(err) || p.listTry.n >= 3 {
			p.report(ctx, err.Error())
		}
		return nil
	}
	over := time.Since(p.listTry.begin) > p.r.s.opt.Deadline
	if over || !cloud.Retryable(err) && p.listTry.n >= 3 {
		p.lost = true
		p.leave(err.Error())
		return p.failAll(ctx, err)
	}
	return nil
}

// inhabited reports whether any node is wanted here.
func (p *pipeline) inhabited() bool {
	return slices.ContainsFunc(p.nodes, func(n *nodeState) bool { return n.wanted(p.r) })
}

func (n *nodeState) wanted(r *run) bool { return n.rec.Phase != NodeDeleting && !r.deleting }

// settled reports whether nothing is left to do. A place where nothing is
// wanted is settled when it is empty, and leaves the record then.
func (p *pipeline) settled(ctx context.Context, now time.Time) (bool, error) {
	if p.jobs > 0 {
		return false, nil
	}
	for _, n := range p.nodes {
		if n.wanted(p.r) && n.rec.Phase != NodeReady && !n.final {
			return false, nil
		}
	}
	if p.grows() {
		return false, nil
	}
	p.leftovers = p.findLeftovers()
	if !p.inhabited() {
		if empty, err := p.vacated(ctx); empty || err != nil {
			return empty, err
		}
		return p.stuck(now), nil
	}
	left := p.unproven() || len(p.leftovers) > 0 || slices.ContainsFunc(p.nodes, func(n *nodeState) bool { return n.rec.Phase == NodeDeleting })
	return !left || p.stuck(now), nil
}

// unproven reports whether an earlier generation's machine may still appear.
func (p *pipeline) unproven() bool {
	return slices.ContainsFunc(p.r.entriesIn(p.at), func(e *entry) bool { return e.State == stateAbandoned })
}

// stuck reports whether what should go has not gone by the deadline: an apply
// then ends degraded, and the next one goes on with it.
func (p *pipeline) stuck(now time.Time) bool {
	if p.r.deleting || now.Sub(p.begin) <= p.r.s.opt.Deadline {
		return false
	}
	why := p.trouble
	if why == "" && p.sweepTry.last != nil {
		why = p.sweepTry.last.Error()
	}
	p.leave(strings.TrimSuffix("not gone by the deadline: "+why, ": "))
	return true
}

// leave notes why something stays that should go.
func (p *pipeline) leave(reason string) {
	for _, n := range p.nodes {
		if n.rec.Phase == NodeDeleting {
			n.rec.Reason = reason
		}
	}
	if !p.inhabited() {
		p.r.leave(p.at, "is not empty: "+reason)
	}
}

// report writes to the record what a delete waits for, when that changes; ""
// means that it waits for nothing more.
func (p *pipeline) report(ctx context.Context, reason string) {
	if p.trouble == reason {
		return
	}
	p.trouble = reason
	if reason != "" {
		p.r.s.log.Warn("mcis waits", "mcis", p.r.name, "cloud", p.at.Cloud, "region", p.at.Region, "reason", reason)
		p.event("wait", "", reason)
	}
	if p.r.deleting && ctx.Err() == nil {
		if err := p.r.update(ctx, func(x *record) { x.Reason = reason }); err != nil && !errors.Is(err, errSuperseded) {
			p.r.s.log.Warn("reason is not recorded", "mcis", p.r.name, "err", err)
		}
	}
}

func (p *pipeline) event(step, node, msg string) {
	p.r.event(Event{Step: step, Node: node, Cloud: p.at.Cloud, Region: p.at.Region, Message: msg})
}
