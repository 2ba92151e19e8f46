package protocol

import (
	"fmt"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// gossip is what is known of memberlist's view, and when it is joined again:
// it forgets members after half a minute and never looks again.
type gossip struct {
	boot    string
	starts  map[string][]gossipStart // of each node that gossip may keep
	alive   map[string]bool          // gossip names
	held    map[uint64]string        // nodes of these, by the hash of the name
	next    time.Time                // to look for those who are lost, or to sync; zero while joining
	soon    bool                     // next was moved forward
	joining bool
	again   bool      // a peer came up while joining
	met     bool      // a peer has come up in this run
	syncAt  time.Time // of the next sync; zero if none is to come
	synced  int       // of the present series
	resync  bool      // another series follows it
}

// syncs are the pauses before a node joins gossip with a random member more, to
// hear what that one has of everyone: after its first peer came up, and after one
// did that was lost. Who became a member while this node was out of reach was
// told to everyone but it, and memberlist's own rounds are half a minute apart or
// more, and may meet a liar. In a larger mesh the pauses are longer, as
// memberlist's are.
var syncs = [...]time.Duration{8 * time.Second, 8 * time.Second, 16 * time.Second}

// lostFor is how long a peer must have been silent that syncs follow its return:
// shorter than that, what was pushed meanwhile is pushed again.
const lostFor = 5 * time.Second

// planSync sets when the next sync is.
func (m *Machine) planSync() {
	g := &m.gossip
	if g.synced == len(syncs) {
		g.syncAt, g.synced = time.Time{}, 0
		if !g.resync {
			return
		}
		g.resync = false
	}
	pause := syncs[g.synced] * time.Duration(1+bits.Len(uint(len(m.names))/32))
	g.syncAt = m.now.Add(pause + m.upTo(pause/4))
}

// healed has syncs follow: the first peer is up, or one that was lost.
func (m *Machine) healed() {
	g := &m.gossip
	if !g.syncAt.IsZero() {
		g.resync = true
		return
	}
	m.planSync()
	if !g.next.IsZero() {
		g.next = earlier(g.next, g.syncAt)
	}
}

// gossipStart is one start of a node, and so one name that memberlist knows.
type gossipStart struct {
	boot string
	seen time.Time
}

func newGossip(boot string) gossip {
	return gossip{boot: boot, starts: map[string][]gossipStart{}, alive: map[string]bool{}, held: map[uint64]string{}}
}

// GossipName returns this node's name in gossip.
func (m *Machine) GossipName() string { return GossipName(m.grant.Node, m.gossip.boot) }

// apply implements Event. A new digest leads to a fetch.
func (e MemberSeen) apply(m *Machine) {
	node, boot, err := splitGossipName(e.Member.Name)
	if err == nil && node != m.grant.Node {
		if mt, err := ParseMeta(e.Member.Meta); err == nil && len(e.Member.Meta) <= maxMeta && placed(node, mt, e.Member) {
			m.want(node, mt.Digest, node)
		}
	}
	reason, err := m.judge(e.Member)
	if err != nil {
		m.count(MetricRefused, reason)
		return
	}
	if node != m.grant.Node {
		m.gossip.note(node, boot, m.now)
	}
}

// Judge looks at where and what a member claims to be. It refuses single
// members that cannot be right or whose records are not here yet.
func (m *Machine) Judge(c Member) error {
	_, err := m.judge(c)
	return err
}

func (m *Machine) judge(c Member) (reason string, err error) {
	node, boot, err := splitGossipName(c.Name)
	if err != nil {
		return "name", err
	}
	if node == m.grant.Node {
		if boot == m.gossip.boot {
			return "", nil
		}
		return "earlier", fmt.Errorf("an earlier start of this node: %w", ErrMalformed)
	}
	if len(c.Meta) > maxMeta {
		return "oversize", fmt.Errorf("meta of %d bytes: %w", len(c.Meta), ErrTooLarge)
	}
	mt, err := ParseMeta(c.Meta)
	if err != nil {
		return "meta", err
	}
	if !placed(node, mt, c) {
		return "address", fmt.Errorf("member %s at %s:%d: %w", c.Name, c.Addr, c.Port, ErrMalformed)
	}
	s := m.book.records[node]
	switch {
	case s == nil: // memberlist must not reach it before the device can
		return "unknown", fmt.Errorf("member %s without a record: %w", c.Name, ErrMalformed)
	case s.Grant.IP != c.Addr.Unmap():
		return "address", fmt.Errorf("member %s at %s, its certificate grants %s: %w", c.Name, c.Addr, s.Grant.IP, identity.ErrGrant)
	case !m.gossip.hasRoom(node, boot, m.now):
		return "starts", fmt.Errorf("member %s: too many starts: %w", c.Name, ErrMalformed)
	}
	return "", nil
}

// placed reports whether a member says what can be true of itself.
func placed(node string, mt Meta, c Member) bool {
	return c.Addr.IsValid() && c.Port == GossipPort && mt.Name == nameHash(node)
}

// hasRoom reports whether memberlist may keep a start of a node. Anybody in
// gossip can invent starts, and memberlist keeps whatever it is told.
func (g *gossip) hasRoom(node, boot string, now time.Time) bool {
	n := 0
	for _, s := range g.starts[node] {
		if s.boot == boot {
			return true
		}
		if now.Sub(s.seen) <= startFor {
			n++
		}
	}
	return n < maxStarts
}

// note notes that a start of a node was seen.
func (g *gossip) note(node, boot string, now time.Time) {
	ss := slices.DeleteFunc(g.starts[node], func(s gossipStart) bool { return s.boot == boot || now.Sub(s.seen) > startFor })
	if g.starts[node] == nil && len(g.starts) >= 2*MaxMembers {
		clear(g.starts) // of members that are gone
	}
	g.starts[node] = append(ss, gossipStart{boot, now})
}

// apply implements Event.
func (e MemberJoined) apply(m *Machine) {
	m.gossip.alive[e.Name] = true
	if node, _, err := splitGossipName(e.Name); err == nil {
		m.gossip.held[nameHash(e.Name)] = node
	}
}

// apply implements Event. Whomever gossip calls dead stays; it is counted, since
// lies about others look like that.
func (e MemberLost) apply(m *Machine) {
	delete(m.gossip.alive, e.Name)
	delete(m.gossip.held, nameHash(e.Name))
	node, _, err := splitGossipName(e.Name)
	if err != nil {
		return
	}
	if l := m.links[node]; l != nil && !l.signed.Record.Away {
		m.count(MetricRefused, "dead")
	}
}

// inGossip returns the other nodes that gossip holds for alive, in any order,
// one that is there under several names as often.
func (m *Machine) inGossip() iter.Seq[string] {
	return func(yield func(string) bool) {
		for name := range m.gossip.alive {
			if node, _, err := splitGossipName(name); err == nil && node != m.grant.Node && !yield(node) {
				return
			}
		}
	}
}

// alone reports whether gossip holds nobody else for alive.
func (m *Machine) alone() bool {
	for range m.inGossip() {
		return false
	}
	return true
}

// joinGossip joins with up to three members that can be reached and are not in
// gossip: a single one may be a liar that tells of nobody. When a sync is due, it
// joins with one more, whoever that is.
func (m *Machine) joinGossip() {
	m.gossip.soon = false
	switch {
	case m.eviction.busy:
		m.gossip.next = time.Time{}
		return
	case m.eviction.broken:
		m.rename()
		return
	}
	in := make(map[string]bool, len(m.gossip.alive))
	for node := range m.inGossip() {
		in[node] = true
	}
	var lost, up []netip.AddrPort
	for _, name := range m.names {
		if l := m.links[name]; (l.up() || l.live(m.now)) && !l.signed.Record.Away {
			at := netip.AddrPortFrom(l.signed.Grant.IP, GossipPort)
			up = append(up, at)
			if !in[name] {
				lost = append(lost, at)
			}
		}
	}
	m.rand.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	lost = lost[:min(len(lost), 3)]
	if g := &m.gossip; !g.syncAt.IsZero() && !m.now.Before(g.syncAt) {
		g.synced++
		m.planSync()
		up = slices.DeleteFunc(up, func(a netip.AddrPort) bool { return slices.Contains(lost, a) })
		if len(up) > 0 {
			lost = append(lost, up[m.rand.IntN(len(up))])
		}
	}
	if len(lost) == 0 {
		m.rest()
		return
	}
	m.gossip.next, m.gossip.joining = time.Time{}, true
	m.do(JoinGossip{lost})
}

// apply implements Event.
func (GossipJoined) apply(m *Machine) {
	m.gossip.joining = false
	m.rest()
	if m.gossip.again {
		m.gossip.again = false
		m.lonely()
	}
}

// rest waits until the next look: shorter if nobody is there.
func (m *Machine) rest() {
	wait := m.timing.Rejoin + m.upTo(m.timing.Rejoin)
	if m.alone() {
		wait /= 6
	}
	m.gossip.next = m.now.Add(wait)
	if at := m.gossip.syncAt; !at.IsZero() {
		m.gossip.next = earlier(m.gossip.next, at)
	}
}

// lonely: a peer came up. Gossip may have lost it, or never had it.
func (m *Machine) lonely() {
	g := &m.gossip
	switch {
	case g.joining:
		g.again = true
	case m.alone():
		m.joinGossip()
	case !g.soon:
		g.soon = true
		g.next = m.now.Add(m.timing.Rejoin/30 + m.upTo(m.timing.Rejoin/15))
	}
}
