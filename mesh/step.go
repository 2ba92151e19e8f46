package mesh

import (
	"context"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// step tells the machine of an event and does what it says. It does not block:
// what takes its time is done aside, and its result comes back as an event.
func (m *Mesh) step(e protocol.Event) {
	m.mu.Lock()
	if m.over {
		m.mu.Unlock()
		return
	}
	actions := m.machine.Step(m.now(), e)
	if next := m.machine.Next(); !next.IsZero() && next.Before(m.armed) {
		notify(m.rearm)
	}
	m.mu.Unlock()
	for _, a := range actions {
		m.do(a)
	}
}

// do does one action.
func (m *Mesh) do(a protocol.Action) {
	switch a := a.(type) {
	case protocol.SendEcho:
		if w, _ := m.parts(); w != nil {
			w.send(a.To, a.Echo.Append(nil))
		}
	case protocol.SendNotice:
		if w, _ := m.parts(); w != nil {
			w.send(a.To, a.Notice.Append(nil))
		}
	case protocol.Log:
		if !a.Limited || m.warnings.Allow() {
			m.log.Log(context.Background(), a.Level, a.Message, a.Args...)
		}
	case protocol.Count:
		m.metrics.count(a)
	case protocol.Gauge:
		m.metrics.set(a)
	case protocol.Changed:
		notify(m.changed)
	case protocol.Announce:
		notify(m.announce)
	case protocol.Ready:
		close(m.ready)
	case protocol.Started:
		m.started <- a.Err
	case protocol.End:
		m.end <- a.Err
	case protocol.Answer:
		hand(m, m.answers, a.ID, a)
	case protocol.Introduce:
		hand(m, m.asks, a.Call, a)
	case protocol.Done:
		hand(m, m.orders, a.ID, a)
	default:
		m.aside(a)
	}
}

// aside does an action that may take its time, and tells its result.
func (m *Mesh) aside(a protocol.Action) {
	m.mu.Lock()
	if m.over {
		m.mu.Unlock()
		return
	}
	ctx := m.ops
	m.work.Add(1) // Run waits for it, after over is set
	m.mu.Unlock()
	go func() {
		defer m.work.Done()
		if e := m.perform(ctx, a); e != nil {
			m.step(e)
		}
	}()
}

// perform does an action that may block and returns its result.
func (m *Mesh) perform(ctx context.Context, a protocol.Action) protocol.Event {
	switch a := a.(type) {
	case protocol.SetDevice:
		return m.setDevice(ctx, a)
	case protocol.ReadDevice:
		ps, err := m.cfg.Device.Peers()
		return protocol.DeviceRead{Peers: ps, Err: err}
	case protocol.ReadAddresses:
		ps, err := m.net.Addresses(m.cfg.Interface)
		return protocol.AddressesRead{Addresses: ps, Err: err}
	case protocol.Fetch:
		return m.fetch(ctx, a)
	case protocol.Push:
		return protocol.Pushed{ID: a.ID, Acknowledged: m.push(ctx, a)}
	case protocol.SaveRecord:
		return protocol.RecordSaved{Err: m.store.saveRecord(recordState{Version: a.Version, Observed: a.Observed})}
	case protocol.SavePeers:
		began := m.now()
		err := m.savePeers(a.Peers)
		return protocol.PeersSaved{Err: err, Took: m.now().Sub(began)}
	case protocol.SaveList:
		return protocol.ListSaved{Err: m.store.saveRevocations(a.List)}
	case protocol.CallIntroducers:
		if a.Each {
			return m.callEach(ctx, a.Addrs)
		}
		return protocol.CallEnded{Err: m.callAny(ctx, a.Addrs)}
	case protocol.JoinGossip:
		m.joinGossip(a.With)
		return protocol.GossipJoined{}
	case protocol.RestartGossip:
		return protocol.GossipRestarted{Err: m.restartGossip()}
	}
	return nil
}

// parts returns the wire and gossip, nil before they are open.
func (m *Mesh) parts() (*wire, *memberlist.Memberlist) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wire, m.list
}

// hand gives an action to whoever waits for it, if anybody still does.
func hand[A any](m *Mesh, waiting map[uint64]chan A, id uint64, a A) {
	m.mu.Lock()
	ch := waiting[id]
	delete(waiting, id)
	m.mu.Unlock()
	if ch != nil {
		ch <- a
	}
}

// await tells an event that names an ID and waits for the action that answers it.
// None comes once Run has ended: then the error is ErrNotRunning.
func await[A any](ctx context.Context, m *Mesh, waiting map[uint64]chan A, event func(id uint64) protocol.Event) (a A, id uint64, err error) {
	ch := make(chan A, 1)
	m.mu.Lock()
	m.lastID++
	id = m.lastID
	waiting[id] = ch
	m.mu.Unlock()
	m.step(event(id))
	select {
	case a = <-ch:
		return a, id, nil
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(waiting, id)
		return a, id, ctx.Err()
	case <-m.gone:
		return a, id, ErrNotRunning
	}
}

// loop tells the machine the time whenever it is due, until ctx ends, after a
// leave, or with an error if this node has to end.
func (m *Mesh) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.left:
			return nil
		case err := <-m.end:
			return err
		case <-m.rearm:
		case <-timer.C:
			m.step(protocol.Tick{})
		}
		m.mu.Lock()
		m.armed = m.machine.Next()
		wait := m.armed.Sub(m.now())
		if m.armed.IsZero() { // it has ended
			wait = time.Hour
		}
		m.mu.Unlock()
		timer.Reset(wait)
	}
}
