package mesh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// lane is the wire as memberlist has it: it may end and begin anew while the
// wire stays.
type lane struct{ *wire }

// Shutdown implements memberlist.Transport.
func (lane) Shutdown() error { return nil }

// restartGossip ends memberlist without a word and starts it again, under the
// name that the machine has now.
func (m *Mesh) restartGossip() error {
	w, list := m.parts()
	if err := list.Shutdown(); err != nil {
		m.log.Debug("gossip shutdown", "err", err)
	}
	list, err := m.openGossip(w)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = list
	return nil
}

// openGossip starts memberlist on the wire. It knows nobody yet: see joinGossip.
func (m *Mesh) openGossip(w *wire) (*memberlist.Memberlist, error) {
	c := gossipConfig(time.Duration(m.timing.Gossip))
	m.mu.Lock()
	c.Name = m.machine.GossipName()
	m.mu.Unlock()
	// Of the mesh, whose authority may change: its random prefix tells it from
	// others of the name.
	c.Label = m.grant.Mesh + "/" + m.roots.Mesh().CIDR6.Addr().String()
	c.Transport = lane{w}
	c.BindAddr, c.BindPort = m.grant.IP.String(), GossipPort
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, GossipPort
	c.Logger = log.New(gossipLog{m.log}, "", 0)
	d := &gossipDelegate{m}
	c.Delegate, c.Alive, c.Conflict, c.Merge, c.Events = d, d, d, d, d
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return list, nil
}

// gossipConfig is how memberlist is to work, whoever the node is. Its intervals
// are divided by speed.
func gossipConfig(speed time.Duration) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.UDPBufferSize = 1200 // within the tunnel's least MTU of 1280
	c.DeadNodeReclaimTime = 10 * time.Second
	c.GossipInterval = 400 * time.Millisecond / speed // records do not wait for it
	c.ProbeInterval = 2 * time.Second / speed         // and nobody is removed by it
	c.ProbeTimeout /= speed
	c.PushPullInterval /= speed
	c.TCPTimeout = requestTimeout
	c.EnableCompression = false // checkPacket says why
	c.DNSConfigPath = ""        // addresses only, never names
	return c
}

// gossipDelegate is what memberlist calls. All methods return at once; none
// calls memberlist back, which holds its locks meanwhile.
type gossipDelegate struct{ m *Mesh }

var (
	_ memberlist.Delegate         = (*gossipDelegate)(nil)
	_ memberlist.AliveDelegate    = (*gossipDelegate)(nil)
	_ memberlist.ConflictDelegate = (*gossipDelegate)(nil)
	_ memberlist.MergeDelegate    = (*gossipDelegate)(nil)
	_ memberlist.EventDelegate    = (*gossipDelegate)(nil)
)

// NodeMeta implements memberlist.Delegate.
func (d *gossipDelegate) NodeMeta(int) []byte {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.machine.Meta().Append(nil)
}

// NotifyMsg implements memberlist.Delegate. Nobody sends user messages.
func (d *gossipDelegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (d *gossipDelegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate: what this node has of everyone.
func (d *gossipDelegate) LocalState(bool) []byte {
	d.m.mu.Lock()
	s := d.m.machine.Summary()
	d.m.mu.Unlock()
	b, err := s.Marshal()
	if err != nil {
		d.m.log.Warn("summary not made", "err", err)
		return nil
	}
	return b
}

// MergeRemoteState implements memberlist.Delegate.
func (d *gossipDelegate) MergeRemoteState(b []byte, _ bool) {
	s, err := protocol.ParseSummary(b)
	if err != nil {
		d.m.refused("summary")
		d.m.log.Debug("summary refused", "err", err)
		return
	}
	d.m.step(protocol.SummaryReceived{Summary: s})
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *gossipDelegate) NotifyJoin(n *memberlist.Node) {
	d.m.step(protocol.MemberJoined{Name: n.Name})
}

// NotifyUpdate implements memberlist.EventDelegate.
func (d *gossipDelegate) NotifyUpdate(*memberlist.Node) {}

// NotifyLeave implements memberlist.EventDelegate.
func (d *gossipDelegate) NotifyLeave(n *memberlist.Node) {
	d.m.step(protocol.MemberLost{Name: n.Name})
}

// NotifyAlive implements memberlist.AliveDelegate.
func (d *gossipDelegate) NotifyAlive(n *memberlist.Node) error {
	addr, _ := netip.AddrFromSlice(n.Addr)
	c := protocol.Member{Name: n.Name, Addr: addr, Port: n.Port, Meta: n.Meta}
	d.m.step(protocol.MemberSeen{Member: c})
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.machine.Judge(c)
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (d *gossipDelegate) NotifyConflict(existing, other *memberlist.Node) {
	d.m.log.Debug("gossip names clash", "existing", existing.Address(), "other", other.Address())
}

// NotifyMerge implements memberlist.MergeDelegate: one bad member must not keep
// others from merging.
func (d *gossipDelegate) NotifyMerge([]*memberlist.Node) error { return nil }

// announceLoop tells gossip of new records of this node.
func (m *Mesh) announceLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.announce:
			_, list := m.parts()
			if err := list.UpdateNode(time.Second); err != nil {
				m.log.Debug("announce", "err", err)
			}
		}
	}
}

// joinGossip joins gossip with members.
func (m *Mesh) joinGossip(with []netip.AddrPort) {
	addrs := make([]string, len(with))
	for i, a := range with {
		addrs[i] = a.String()
	}
	_, list := m.parts()
	if n, err := list.Join(addrs); err != nil {
		m.log.Debug("gossip join", "joined", n, "err", err)
	}
}

// gossipLog writes memberlist's log lines at level debug: its opinions move
// nothing here.
type gossipLog struct{ log *slog.Logger }

// Write implements io.Writer.
func (g gossipLog) Write(b []byte) (int, error) {
	g.log.Debug("gossip", "line", strings.TrimSpace(string(b)))
	return len(b), nil
}
