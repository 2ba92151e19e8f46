package mcis

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// missingAfter is how long lists may lack a machine that was created before it
// counts as gone: lists of clouds lag by some seconds.
const missingAfter = 30 * time.Second

// Console output kept of a failed machine.
const (
	consoleLines   = 20
	consoleBytes   = 4096
	consoleTimeout = 20 * time.Second
)

// observe takes a new list: it adopts machines whose create call was never
// answered, and notes addresses and failures.
func (p *pipeline) observe(list []cloud.Resource) error {
	ctx, now := p.r.calls, time.Now()
	list = p.r.notElsewhere(p.at, list)
	p.listed = list
	byToken := make(map[string][]*cloud.VM)
	byID := make(map[string]bool)
	for _, res := range list {
		p.shown[res.ID] = true
		if res.VM != nil && res.Kind == cloud.KindVM {
			byID[res.ID] = true
			token := p.tokenOf(res)
			byToken[token] = append(byToken[token], res.VM)
		} else {
			p.infra = true
		}
	}
	for _, n := range p.nodes {
		if !n.wanted(p.r) || n.try.busy || n.failing {
			continue
		}
		vm := chooseVM(byToken[vmToken(p.r.uid, n.rec.Want.Name, n.rec.Generation)], n.rec.ID)
		if vm != nil {
			n.missing = time.Time{}
			if err := p.see(ctx, n, *vm); err != nil {
				return err
			}
			continue
		}
		if n.rec.ID == "" || byID[n.rec.ID] || n.final {
			continue
		}
		if n.missing.IsZero() {
			n.missing = now
		} else if now.Sub(n.missing) >= missingAfter {
			if err := p.gone(ctx, n, "the machine is gone from the cloud"); err != nil {
				return err
			}
		}
	}
	return nil
}

// chooseVM returns the machine of a node among those of its token: the one of
// the recorded id, else one that lives, else, if none is recorded, any. Creates
// that raced leave several on a cloud without tokens, all but one of them failed.
func chooseVM(list []*cloud.VM, id string) *cloud.VM {
	var best *cloud.VM
	lives := func(vm *cloud.VM) bool { return vm.State != cloud.VMFailed && vm.State != cloud.VMDeleting }
	for _, vm := range list {
		switch {
		case vm.ID == id:
			return vm
		case id != "" && !lives(vm):
		case best == nil || lives(vm) && !lives(best):
			best = vm
		}
	}
	return best
}

// see compares a node with its machine in a list.
func (p *pipeline) see(ctx context.Context, n *nodeState, vm cloud.VM) error {
	if vm.ID == "" {
		return nil
	}
	if n.rec.ID == "" && n.entry != nil {
		if vm.State == cloud.VMDeleting {
			return p.gone(ctx, n, "the machine is being deleted in the cloud")
		}
		if err := p.adopt(ctx, n, vm, "found "+vm.ID); err != nil {
			return err
		}
	}
	if n.final {
		return nil
	}
	switch vm.State {
	case cloud.VMFailed:
		reason := vm.Reason
		if reason == "" {
			reason = "no reason given"
		}
		return p.fail(ctx, n, "the cloud could not start the machine: "+reason)
	case cloud.VMDeleting:
		return p.gone(ctx, n, "the machine is being deleted in the cloud")
	}
	if p.address(n.rec, vm) {
		return p.write(ctx, kv.Put(nodeKey(p.r.name, n.rec.Want.Name), encode(n.rec)))
	}
	return nil
}

// watch looks at the mesh and at the clock for one node.
func (p *pipeline) watch(ctx context.Context, n *nodeState, now time.Time) error {
	if !n.wanted(p.r) || n.try.busy || n.failing || n.rec.ID == "" {
		return nil
	}
	name := n.rec.Want.Name
	ip, joined := p.r.s.members.Joined(name)
	switch {
	case joined && n.rec.Phase != NodeReady && (n.rec.Phase == NodeJoining || n.final):
		n.final = false
		n.rec.Phase, n.rec.IP, n.rec.Reason, n.rec.Console = NodeReady, ip, "", ""
		p.event("join", name, fmt.Sprintf("ready after %s, %s", now.Sub(n.since).Round(100*time.Millisecond), ip))
		return p.write(ctx, kv.Put(nodeKey(p.r.name, name), encode(n.rec)))
	case !joined && n.rec.Phase == NodeReady:
		n.rec.Phase, n.since = NodeJoining, now // it has the deadline to come back; recorded only if it does not
	case n.rec.Phase == NodeJoining && now.Sub(n.since) > p.r.s.opt.Deadline:
		return p.fail(ctx, n, fmt.Sprintf("did not join the mesh within %s", p.r.s.opt.Deadline))
	}
	return nil
}

// gone handles a machine that vanished. One that had been ready is made again;
// a new one failed.
func (p *pipeline) gone(ctx context.Context, n *nodeState, reason string) error {
	if n.rec.Established && n.replaced == 0 {
		return p.replace(ctx, n, reason)
	}
	return p.fail(ctx, n, reason)
}

// fail gives up on the node's present machine, with the last lines of its
// console where the cloud has them.
func (p *pipeline) fail(ctx context.Context, n *nodeState, reason string) error {
	console, ok := cloud.As[cloud.Console](p.driver())
	if !ok || n.rec.ID == "" {
		return p.failed(ctx, n, reason, "")
	}
	n.failing = true
	region, id := p.at.Region, n.rec.ID
	p.spawn(func(ctx context.Context) func() error {
		callCtx, cancel := context.WithTimeout(ctx, consoleTimeout)
		defer cancel()
		text, err := console.ConsoleOutput(callCtx, region, id)
		if err != nil {
			text = "" // the reason stands without it
		}
		return func() error {
			n.failing = false
			return p.failed(ctx, n, reason, lastLines(text))
		}
	})
	return nil
}

// failed does what the spec wants done about a failed node.
func (p *pipeline) failed(ctx context.Context, n *nodeState, reason, console string) error {
	name := n.rec.Want.Name
	p.r.s.log.Warn("node failed", "mcis", p.r.name, "node", name, "cloud", p.at.Cloud, "region", p.at.Region, "reason", reason)
	p.r.mu.Lock()
	policy, back := p.r.r.Spec.OnFailure, p.r.r.Rollback != ""
	p.r.mu.Unlock()
	switch {
	case policy == OnFailureRollback && !back && !n.rec.Established:
		return &rollbackError{fmt.Sprintf("%s: %s", name, reason) + consoleHint(console)}
	case policy == OnFailureReplace && n.replaced < p.r.s.opt.Replacements:
		return p.replace(ctx, n, reason)
	}
	n.final = true
	n.rec.Phase, n.rec.Reason, n.rec.Console = NodeFailed, reason, console
	ops := []kv.Op{kv.Put(nodeKey(p.r.name, name), encode(n.rec))}
	if n.entry != nil && n.entry.State == stateOpen {
		n.entry.State, n.entry.Error = stateFailed, reason
		ops = append(ops, kv.Put(journalKey(p.r.name, *n.entry), encode(n.entry)))
	}
	p.event("vm", name, "failed: "+reason+consoleHint(console))
	return p.write(ctx, ops...)
}

// replace raises the generation, in the store before anything else, so that
// the next create is a new machine and this one is to be deleted.
func (p *pipeline) replace(ctx context.Context, n *nodeState, reason string) error {
	name := n.rec.Want.Name
	rec := *n.rec
	rec.Generation++
	rec.Phase, rec.Reason, rec.ID, rec.Zone, rec.Established = NodePlanned, "replaced: "+reason, "", "", false
	rec.PublicIP = nodeRecord{}.PublicIP
	if a, ok := p.freeAddr(); ok {
		rec.Want.PrivateIP = a
	}
	ops := []kv.Op{kv.Put(nodeKey(p.r.name, name), encode(rec))}
	if n.entry != nil {
		n.entry.State, n.entry.Error = stateAbandoned, reason
		ops = append(ops, kv.Put(journalKey(p.r.name, *n.entry), encode(n.entry)))
	}
	if err := p.write(ctx, ops...); err != nil {
		return err
	}
	p.r.renew(name, vmToken(p.r.uid, name, n.rec.Generation), vmToken(p.r.uid, name, rec.Generation))
	*n.rec = rec
	n.entry, n.try, n.missing, n.final, n.since = nil, attempts{}, time.Time{}, false, time.Now()
	n.replaced++
	p.event("vm", name, "replaced: "+reason)
	return nil
}

// freeAddr returns an address of the subnet that no node here has.
func (p *pipeline) freeAddr() (netip.Addr, bool) {
	taken := make(map[netip.Addr]bool)
	for _, n := range p.nodes {
		taken[n.rec.Want.PrivateIP] = true
	}
	return freeAddr(p.netSpec.CIDR, taken)
}

// failAll fails every node here that is not settled.
func (p *pipeline) failAll(ctx context.Context, cause error) error {
	for _, n := range p.nodes {
		if !n.wanted(p.r) || n.rec.Phase == NodeReady || n.final {
			continue
		}
		n.replaced = p.r.s.opt.Replacements // another machine would not fare better
		if err := p.failed(ctx, n, cause.Error(), ""); err != nil {
			return err
		}
	}
	return nil
}

// lastLines returns the end of a console's output, printable.
func lastLines(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && r != 0xfffd {
			return r
		}
		return -1
	}, s)
	lines := strings.Split(strings.TrimRight(s, "\n\t "), "\n")
	if len(lines) > consoleLines {
		lines = lines[len(lines)-consoleLines:]
	}
	s = strings.Join(lines, "\n")
	if len(s) > consoleBytes {
		s = strings.ToValidUTF8(s[len(s)-consoleBytes:], "")
	}
	return s
}

// consoleHint quotes the last line of a console.
func consoleHint(s string) string {
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	if s == "" {
		return ""
	}
	return "; console: " + s
}
