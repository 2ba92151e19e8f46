package mesh_test

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
)

// mute is a network in which nobody answers calls over the overlay, as if all
// had stopped just before.
type mute struct {
	mesh.Net
	calls atomic.Int64 // that wait
}

// Dial implements mesh.Net.
func (m *mute) Dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	if !from.IsValid() {
		return m.Net.Dial(ctx, from, addr)
	}
	m.calls.Add(1)
	defer m.calls.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestStopWaitsForNobody: a node that stops does not wait for those whom gossip
// is calling.
func TestStopWaitsForNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro, n := l.introducer().start(), l.add(2)
		deaf := &mute{Net: n.host}
		n.cfg.Net = deaf
		n.start()
		eventually(t, 5*time.Second, "both up", func() bool { return allUp(intro, n) })
		eventually(t, 40*time.Second, "it calls", func() bool { return deaf.calls.Load() > 0 })
		began := time.Now()
		n.stop()
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("stopped after %s (simulated), want a second to say goodbye", took)
		}
	})
}
