package mesh

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/cbnet-io/cbnet/identity"
)

// openGossip starts memberlist on the wire. It knows nobody yet: see joinGossip.
func (m *Mesh) openGossip(w *wire) (*memberlist.Memberlist, error) {
	c := gossipConfig(time.Duration(m.timing.Gossip))
	c.Name = gossipName(m.grant.Node, m.boot)
	// Of the mesh, whose authority may change: its random prefix tells it from
	// others of the name.
	c.Label = m.grant.Mesh + "/" + m.roots.Mesh().CIDR6.Addr().String()
	c.Transport = w
	c.BindAddr, c.BindPort = m.grant.IP.String(), GossipPort
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, GossipPort
	c.Logger = log.New(gossipLog{m.log}, "", 0)
	d := newGossipDelegate(m)
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
	c.GossipInterval /= speed
	c.ProbeInterval /= speed
	c.ProbeTimeout /= speed
	c.PushPullInterval /= speed
	c.TCPTimeout = requestTimeout
	c.EnableCompression = false // checkPacket says why
	c.DNSConfigPath = ""        // addresses only, never names
	return c
}

// gossipDelegate is what memberlist calls. All methods return at once; none
// calls memberlist back, which holds its locks meanwhile.
type gossipDelegate struct {
	m *Mesh

	mu     sync.Mutex // guards starts
	starts map[string][]gossipStart
}

// gossipStart is one start of a node, and so one name that memberlist knows.
type gossipStart struct {
	boot string
	seen time.Time
}

func newGossipDelegate(m *Mesh) *gossipDelegate {
	return &gossipDelegate{m: m, starts: map[string][]gossipStart{}}
}

// known notes a start of a node and reports whether memberlist may keep it.
// Anybody in gossip can invent starts, and memberlist keeps whatever it is told.
func (d *gossipDelegate) known(node, boot string) bool {
	now := d.m.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	ss := slices.DeleteFunc(d.starts[node], func(s gossipStart) bool { return now.Sub(s.seen) > startFor })
	i := slices.IndexFunc(ss, func(s gossipStart) bool { return s.boot == boot })
	ok := i >= 0 || len(ss) < maxStarts
	switch {
	case i >= 0:
		ss[i].seen = now
	case ok:
		ss = append(ss, gossipStart{boot, now})
	}
	if d.starts[node] == nil && len(d.starts) >= 2*maxMembers {
		clear(d.starts) // of members that are gone
	}
	d.starts[node] = ss
	return ok
}

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
	return metaOf(d.m.self).append(nil)
}

// NotifyMsg implements memberlist.Delegate. Nobody sends user messages.
func (d *gossipDelegate) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (d *gossipDelegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate: what this node has of everyone.
func (d *gossipDelegate) LocalState(bool) []byte {
	m := d.m
	m.mu.Lock()
	s := summary{from: m.grant.Node, revocations: m.roots.RevocationNumber(), records: m.book.digests()}
	s.records[m.grant.Node] = digestOf(m.self)
	m.mu.Unlock()
	b, err := s.marshal()
	if err != nil {
		m.log.Warn("summary not made", "err", err)
		return nil
	}
	return b
}

// MergeRemoteState implements memberlist.Delegate: what the other has and this
// node has not is fetched from it.
func (d *gossipDelegate) MergeRemoteState(b []byte, _ bool) {
	m := d.m
	s, err := parseSummary(b)
	if err != nil {
		m.refused("summary")
		m.log.Debug("summary refused", "err", err)
		return
	}
	m.mu.Lock()
	mine := m.book.digests()
	mine[m.grant.Node] = digestOf(m.self)
	m.mu.Unlock()
	for _, name := range missing(mine, s.records) {
		m.want(name, s.records[name], s.from)
	}
	m.want(wantList, digest{version: s.revocations}, s.from)
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *gossipDelegate) NotifyJoin(*memberlist.Node) {}

// NotifyUpdate implements memberlist.EventDelegate.
func (d *gossipDelegate) NotifyUpdate(*memberlist.Node) {}

// NotifyLeave implements memberlist.EventDelegate. Whomever gossip calls dead
// stays; it is counted, since lies about others look like that.
func (d *gossipDelegate) NotifyLeave(n *memberlist.Node) {
	if node, _, err := splitGossipName(n.Name); err == nil && d.m.stays(node) {
		d.m.refused("dead")
	}
}

// NotifyAlive implements memberlist.AliveDelegate. It counts what it refuses.
func (d *gossipDelegate) NotifyAlive(n *memberlist.Node) error {
	reason, err := d.judge(n)
	if err != nil {
		d.m.refused(reason)
	}
	return err
}

// judge looks at where and what a
// member claims to be; a new digest leads to a fetch. It refuses single members
// that cannot be right or whose records are not here yet, never a whole merge.
func (d *gossipDelegate) judge(n *memberlist.Node) (reason string, err error) {
	m := d.m
	node, boot, err := splitGossipName(n.Name)
	if err != nil {
		return "name", err
	}
	if node == m.grant.Node {
		if boot == m.boot {
			return "", nil
		}
		return "earlier", fmt.Errorf("an earlier start of this node: %w", errMessage)
	}
	if len(n.Meta) > maxMeta {
		return "oversize", fmt.Errorf("meta of %d bytes: %w", len(n.Meta), errTooLarge)
	}
	mt, err := parseMeta(n.Meta)
	if err != nil {
		return "meta", err
	}
	addr, ok := netip.AddrFromSlice(n.Addr)
	if !ok || n.Port != GossipPort || mt.name != nameHash(node) {
		return "address", fmt.Errorf("member %s at %s:%d: %w", n.Name, n.Addr, n.Port, errMessage)
	}
	m.mu.Lock()
	s := m.book.records[node]
	m.mu.Unlock()
	m.want(node, mt.digest, node)
	switch {
	case s == nil: // memberlist must not reach it before the device can
		return "unknown", fmt.Errorf("member %s without a record: %w", n.Name, errMessage)
	case s.Grant.IP != addr.Unmap():
		return "address", fmt.Errorf("member %s at %s, its certificate grants %s: %w", n.Name, addr, s.Grant.IP, identity.ErrGrant)
	case !d.known(node, boot):
		return "starts", fmt.Errorf("member %s: too many starts: %w", n.Name, errMessage)
	}
	return "", nil
}

// NotifyConflict implements memberlist.ConflictDelegate.
func (d *gossipDelegate) NotifyConflict(existing, other *memberlist.Node) {
	d.m.log.Debug("gossip names clash", "existing", existing.Address(), "other", other.Address())
}

// NotifyMerge implements memberlist.MergeDelegate: one bad member must not keep
// others from merging.
func (d *gossipDelegate) NotifyMerge([]*memberlist.Node) error { return nil }

// gossipLoop announces this node's records and joins gossip again with members
// it has lost, since memberlist forgets them after half a minute and never
// looks again.
func (m *Mesh) gossipLoop(ctx context.Context, list *memberlist.Memberlist) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := false // the timer has been cut short
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.announce:
			if err := list.UpdateNode(time.Second); err != nil {
				m.log.Debug("announce", "err", err)
			}
			continue
		case <-m.lonely: // a peer came up; gossip may have lost it, or never had it
			if list.NumMembers() > 1 {
				if !soon {
					soon = true
					timer.Reset(m.timing.Rejoin/30 + rand.N(m.timing.Rejoin/15))
				}
				continue
			}
		case <-timer.C:
		}
		soon = false
		alone := m.joinGossip(list)
		wait := m.timing.Rejoin + rand.N(m.timing.Rejoin)
		if alone {
			wait /= 6
		}
		timer.Reset(wait)
	}
}

// joinGossip joins with up to three members that can be reached and are not in
// gossip. It reports whether nobody is.
func (m *Mesh) joinGossip(list *memberlist.Memberlist) (alone bool) {
	in := map[string]bool{}
	for _, n := range list.Members() {
		if node, _, err := splitGossipName(n.Name); err == nil {
			in[node] = true
		}
	}
	m.mu.Lock()
	now := m.now()
	var lost []string
	for name, l := range m.links {
		if !in[name] && (l.up() || l.live(now)) && !l.signed.Record.Away {
			lost = append(lost, netip.AddrPortFrom(l.signed.Grant.IP, GossipPort).String())
		}
	}
	m.mu.Unlock()
	rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	if n, err := list.Join(lost[:min(len(lost), 3)]); err != nil {
		m.log.Debug("gossip join", "joined", n, "err", err)
	}
	return list.NumMembers() < 2
}

// gossipLog writes memberlist's log lines at level debug: its opinions move
// nothing here.
type gossipLog struct{ log *slog.Logger }

// Write implements io.Writer.
func (g gossipLog) Write(b []byte) (int, error) {
	g.log.Debug("gossip", "line", strings.TrimSpace(string(b)))
	return len(b), nil
}
