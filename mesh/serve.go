package mesh

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// isMember implements wireHandler.
func (m *Mesh) isMember(a netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.IsMember(a)
}

// refused implements wireHandler: it counts what was refused in the tunnel.
func (m *Mesh) refused(reason string) { m.metrics.refused.WithLabelValues(reason).Inc() }

// takeEcho implements wireHandler.
func (m *Mesh) takeEcho(from netip.Addr, e protocol.Echo) {
	m.step(protocol.EchoReceived{From: from, Echo: e})
}

// takeNotice implements wireHandler.
func (m *Mesh) takeNotice(from netip.Addr, n protocol.Notice) {
	m.step(protocol.NoticeReceived{From: from, Notice: n})
}

// serve implements wireHandler: it answers one request of a member.
func (m *Mesh) serve(ctx context.Context, conn net.Conn, from netip.Addr) {
	m.mu.Lock()
	name := m.machine.NodeAt(from)
	m.mu.Unlock()
	q, done, err := m.bulk.read(ctx, conn, name)
	if err != nil {
		m.refused("request")
		m.log.Debug("request refused", "peer", name, "err", err)
		return
	}
	defer done()
	a, id, err := await(ctx, m, m.answers, func(id uint64) protocol.Event {
		return protocol.RequestReceived{ID: id, From: from, Request: q}
	})
	if err != nil {
		return
	}
	if a.Lingers {
		defer m.step(protocol.Answered{ID: id})
	}
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return
	}
	if err := protocol.WriteFrame(conn, a.Reply, protocol.MaxReply); err != nil {
		m.log.Debug("answer not sent", "peer", name, "err", err)
	}
	if a.Lingers { // it leaves the device, so let the answer arrive first
		if err := conn.SetDeadline(time.Now().Add(awayBudget)); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until the other closes, or the deadline
		}
	}
}
