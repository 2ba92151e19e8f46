package mcis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// network makes the network of a place where machines are to be created, or of
// which more is wanted. It is asked for once in every run, also when the journal
// knows it: the call completes what is there, and what was removed by hand comes
// back.
func (p *pipeline) network(now time.Time) {
	if p.net != nil || !p.netTry.due(now) || !p.creates() && !p.grows() {
		return
	}
	p.netTry.start(now)
	if p.netTry.n == 0 {
		p.event("network", "", "creating "+p.cidr)
	}
	e, spec, isNew := p.netEntry, p.netAsked, p.differs()
	if isNew {
		spec = p.netSpec
	}
	p.spawn(func(ctx context.Context) func() error {
		e, net, err := p.ensureNetwork(ctx, e, spec, isNew)
		return func() error {
			if !errors.Is(err, errStore) {
				p.netAsked = spec
			}
			return p.networkDone(ctx, e, net, err)
		}
	})
}

// readNetwork reads what the journal's request asks for.
func (p *pipeline) readNetwork() error {
	if p.netEntry == nil || p.r.deleting {
		return nil
	}
	if err := p.r.s.openRequest(p.netEntry, &p.netAsked); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	return nil
}

// differs reports whether the request in the journal is not the one to make.
// What a network has it keeps, but for what an unanswered request asked for.
func (p *pipeline) differs() bool {
	if p.netEntry == nil || p.netSpec.SSHKey != p.netAsked.SSHKey || p.netSpec.NAT && !p.netAsked.NAT {
		return true
	}
	return p.netEntry.State != stateDone && p.netAsked.NAT && !p.netSpec.NAT
}

// grows reports whether more is wanted of the network than was asked for and
// answered, while nothing else needs it.
func (p *pipeline) grows() bool {
	return p.inhabited() && p.net == nil && !p.netLost && p.netEntry != nil && (p.netEntry.State != stateDone || p.differs())
}

// ensureNetwork journals the request, if it is new, and makes the call. An error
// that wraps errStore is none of the cloud's.
func (p *pipeline) ensureNetwork(ctx context.Context, e *entry, spec cloud.NetworkSpec, isNew bool) (*entry, cloud.Network, error) {
	if isNew {
		sealed, err := p.r.s.sealRequest(spec)
		if err != nil {
			return e, cloud.Network{}, fmt.Errorf("%w: %w", errStore, err)
		}
		next := entry{Format: recordFormat, ID: networkEntryID(p.at), Cloud: p.at.Cloud, Region: p.at.Region}
		write := kv.Create
		if e != nil {
			next, write = *e, kv.Put
		}
		next.State, next.Request, next.Time = stateOpen, sealed, time.Now()
		if err := p.r.s.store.Txn(ctx, write(journalKey(p.r.name, next), encode(next))); err != nil {
			return e, cloud.Network{}, fmt.Errorf("%w: journal network of %s: %w", errStore, p.at, err)
		}
		e = &next
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	net, err := p.driver().EnsureNetwork(ctx, spec)
	if err == nil && spec.SSHKey != "" && net.Key == "" {
		err = fmt.Errorf("network %s: %w: the driver made no SSH key", spec.Name, cloud.ErrInvalid)
	}
	return e, net, err
}

func (p *pipeline) networkDone(ctx context.Context, e *entry, net cloud.Network, err error) error {
	p.netTry.end(err)
	if e != nil {
		p.netEntry = e
		p.r.addEntry(e)
	}
	switch {
	case err == nil:
	case errors.Is(err, errStore) || ctx.Err() != nil:
		return err
	case !lasting(err) && time.Since(p.netTry.begin) < p.r.s.opt.Deadline:
		p.event("network", "", "again: "+err.Error())
		return nil
	default:
		err = fmt.Errorf("network of %s: %w", p.at, err)
		if p.netLost = true; p.netEntry != nil && p.netEntry.Network != nil {
			p.r.leave(p.at, "stays as it was: "+err.Error())
		}
		return p.failAll(ctx, err)
	}
	p.net = &net
	if e.State == stateDone && e.Network != nil && *e.Network == net {
		return nil
	}
	e.State, e.Network, e.CloudID, e.Time = stateDone, &net, net.ID, time.Now()
	p.event("network", "", "ready: "+net.ID)
	return p.write(ctx, kv.Put(journalKey(p.r.name, *e), encode(e)))
}
