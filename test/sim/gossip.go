package sim

import (
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Times of the simulated gossip.
const (
	probeEvery    = 3 * time.Second
	pushPullEvery = 20 * time.Second
	lostAfter     = 3 // probes
)

// view is what a node's gossip holds of others.
type view struct {
	name  string           // this node's own in it
	alive []string         // gossip names, sorted
	of    map[string]*Node // whose they are
	miss  map[string]int   // probes without an answer
	dead  map[string]bool  // names that were said to be dead for ever
}

func newView() view {
	return view{of: map[string]*Node{}, miss: map[string]int{}, dead: map[string]bool{}}
}

// startGossip begins the rounds.
func (n *Node) startGossip() {
	n.view.name = n.machine.GossipName()
	n.round(probeEvery, n.probe)
	n.round(pushPullEvery, n.pushPull)
}

// round does something again and again while the node runs.
func (n *Node) round(every time.Duration, do func()) {
	run := n.run
	var again func()
	again = func() {
		if n.run == run {
			do()
			n.w.after(every, again)
		}
	}
	n.w.after(time.Duration(n.w.rand.Int64N(int64(every))), again)
}

// member describes a node as gossip does.
func (n *Node) member() protocol.Member {
	return protocol.Member{Name: n.view.name, Addr: n.ip(), Port: protocol.GossipPort, Meta: n.machine.Meta().Append(nil)}
}

// sees takes what gossip says of a member.
func (n *Node) sees(m *Node) {
	if m == n || !m.opened || n.view.dead[m.view.name] {
		return
	}
	c := m.member()
	n.step(protocol.MemberSeen{Member: c})
	if n.run == 0 || n.machine.Judge(c) != nil {
		return
	}
	i, has := slices.BinarySearch(n.view.alive, c.Name)
	if has {
		return
	}
	n.view.alive = slices.Insert(n.view.alive, i, c.Name)
	n.view.of[c.Name] = m
	n.view.miss[c.Name] = 0
	n.step(protocol.MemberJoined{Name: c.Name})
}

// loses takes a member out of the view.
func (n *Node) loses(name string) {
	i, has := slices.BinarySearch(n.view.alive, name)
	if !has {
		return
	}
	n.view.alive = slices.Delete(n.view.alive, i, i+1)
	delete(n.view.of, name)
	n.step(protocol.MemberLost{Name: name})
}

// passes reports whether a packet passes through the tunnel there and back.
func (w *World) passes(a, b *Node) bool {
	return a.opened && b.opened && w.packet(a.host, a.ip(), b.ip(), 60) == b.host && w.packet(b.host, b.ip(), a.ip(), 60) == a.host
}

// pick returns a member of the view at random, nil if there is none.
func (n *Node) pick() (string, *Node) {
	if len(n.view.alive) == 0 {
		return "", nil
	}
	name := n.view.alive[n.w.rand.IntN(len(n.view.alive))]
	return name, n.view.of[name]
}

// probe looks whether a member answers.
func (n *Node) probe() {
	name, m := n.pick()
	if m == nil {
		return
	}
	if m.view.name == name && n.w.passes(n, m) {
		n.view.miss[name] = 0
		return
	}
	if n.view.miss[name]++; n.view.miss[name] >= lostAfter {
		n.loses(name)
	}
}

// pushPull exchanges all that two members have.
func (n *Node) pushPull() {
	if _, m := n.pick(); m != nil && n.w.passes(n, m) {
		n.merge(m)
	}
}

// merge has two members tell each other whom and what they have.
func (n *Node) merge(m *Node) {
	mine, theirs := n.others(), m.others()
	a, b := n.machine.Summary(), m.machine.Summary()
	if n.liar != nil {
		a = n.liar.summary(a)
	}
	if m.liar != nil {
		b = m.liar.summary(b)
	}
	m.step(protocol.SummaryReceived{Summary: a})
	n.step(protocol.SummaryReceived{Summary: b})
	for _, x := range append(mine, n) {
		if m.opened {
			m.sees(x)
		}
	}
	for _, x := range append(theirs, m) {
		if n.opened {
			n.sees(x)
		}
	}
}

func (n *Node) others() []*Node {
	ms := make([]*Node, 0, len(n.view.alive)+1)
	for _, name := range n.view.alive {
		ms = append(ms, n.view.of[name])
	}
	return ms
}

// joinGossip merges with members.
func (n *Node) joinGossip(a protocol.JoinGossip) {
	run := n.run
	n.w.after(4*n.w.delay(), func() {
		if n.run != run {
			return
		}
		for _, with := range a.With {
			if m := n.w.nodeAt(with.Addr()); m != nil && n.run == run && n.w.passes(n, m) {
				n.merge(m)
			}
		}
		n.step(protocol.GossipJoined{})
	})
}

// announce spreads the own meta through gossip, within a second.
func (n *Node) announce() {
	for _, m := range n.others() {
		n.w.after(time.Duration(n.w.rand.Int64N(int64(time.Second))), func() {
			if n.opened && m.opened && n.w.passes(n, m) {
				m.sees(n)
			}
		})
	}
}
