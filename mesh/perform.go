package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// setDevice sets the device, at first without the peers that are to be reset.
func (m *Mesh) setDevice(ctx context.Context, a protocol.SetDevice) protocol.DeviceSet {
	err := m.resetPeers(ctx, a)
	err = errors.Join(err, m.cfg.Device.Set(ctx, a.Config))
	return protocol.DeviceSet{Err: err, Refused: refusals(err), Canceled: err != nil && ctx.Err() != nil}
}

// resetPeers takes peers out of the device that are to be reset.
func (m *Mesh) resetPeers(ctx context.Context, a protocol.SetDevice) error {
	if len(a.Reset) == 0 {
		return nil
	}
	now, err := m.cfg.Device.Peers()
	due := protocol.Due(a.Reset, now)
	if err != nil || len(due) == 0 {
		return err
	}
	without := a.Config
	without.Peers = slices.DeleteFunc(slices.Clone(a.Config.Peers), func(p overlay.Peer) bool { return slices.Contains(due, p.PublicKey) })
	return m.cfg.Device.Set(ctx, without)
}

// refusals finds the faults of single endpoints in all branches of an error.
func refusals(err error) []protocol.Refusal {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *overlay.RouteError:
		if !e.Peer.IsZero() {
			return []protocol.Refusal{{Peer: e.Peer, Endpoint: e.Of, Reason: e.What}}
		}
	case interface{ Unwrap() error }:
		return refusals(e.Unwrap())
	case interface{ Unwrap() []error }:
		var found []protocol.Refusal
		for _, err := range e.Unwrap() {
			found = append(found, refusals(err)...)
		}
		return found
	}
	return nil
}

// fetch asks one member for records, and for its revocation list if newer.
func (m *Mesh) fetch(ctx context.Context, a protocol.Fetch) protocol.Fetched {
	w, _ := m.parts()
	p, err := w.exchange(ctx, a.To, a.Request)
	return protocol.Fetched{From: a.From, Reply: p, Err: err}
}

// push sends a request to many members and returns who has answered in time.
func (m *Mesh) push(ctx context.Context, a protocol.Push) []string {
	ctx, cancel := context.WithTimeout(ctx, a.Within)
	defer cancel()
	w, _ := m.parts()
	var mu sync.Mutex // guards done
	var done []string
	var g errgroup.Group
	g.SetLimit(pushWorkers)
	for _, t := range a.To {
		g.Go(func() error {
			if _, err := w.exchange(ctx, t.To, a.Request); err != nil {
				m.log.Debug("push", "peer", t.Node, "err", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, t.Node)
			return nil
		})
	}
	_ = g.Wait() // the functions return no error
	slices.Sort(done)
	return done
}

// savePeers writes the peers to disk, unless they are to be forgotten.
func (m *Mesh) savePeers(ps []protocol.Remembered) error {
	m.saveMu.Lock()
	defer m.saveMu.Unlock()
	if m.noSaves {
		return nil
	}
	return m.store.savePeers(ps)
}
