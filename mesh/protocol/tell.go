package protocol

import "slices"

// tells is whose records an introducer still has to hand to members that it did
// not reach when it got them: those who join at the same time. They are told as
// soon as they answer, in one request instead of many of their own.
type tells map[string][]string // by member

// owe notes that a member is to be told of others. Who has not come up a while
// after it joined hears of them in gossip.
func (m *Machine) owe(member string, names []string) {
	l := m.links[member]
	if l == nil || len(names) == 0 {
		return
	}
	if state, _ := l.state(m.now); state != StateConnecting {
		return
	}
	owed := m.tells[member]
	for _, n := range names {
		if n != member && len(owed) < maxNames && !slices.Contains(owed, n) {
			owed = append(owed, n)
		}
	}
	m.tells[member] = owed
}

// inform hands a member that is heard what it is owed. What does not arrive it
// hears of in gossip.
func (m *Machine) inform(member string) {
	owed, ok := m.tells[member]
	if !ok {
		return
	}
	delete(m.tells, member)
	l := m.links[member]
	for chunk := range slices.Chunk(owed, maxJoiners) {
		q := Request{Format: Format, From: m.grant.Node, Records: m.envelopes(chunk)}
		m.pushTo([]Target{{Node: member, To: l.signed.Grant.IP}}, q, tellFor, func([]string) {})
	}
}

// merge brings two networks together that began apart, each with an introducer
// of its own, of which this node is one. The other has answered with what it
// has: the members here are told of what was new. What the other lacks goes with
// the next call, and it is called until neither has anything that the other has
// not, for many join while the two talk.
func (m *Machine) merge(reply [][]byte, fresh []string) {
	if m.cfg.Introduce == "" {
		return
	}
	theirs := map[string]bool{}
	for _, env := range reply {
		if node, ok := m.book.holder(env); ok {
			theirs[node] = true
		}
	}
	var ours []string
	for _, name := range m.names {
		if !theirs[name] {
			ours = append(ours, name)
		}
	}
	m.joiner.handed = ours[:min(len(ours), maxHanded)]
	m.spread(fresh, ours)
}

// takeOver takes the records that another introducer hands over, and has the
// members here told of those that were news.
func (m *Machine) takeOver(envelopes [][]byte, source string) {
	fresh := m.admit(envelopes, source, m.letCall)
	m.spread(fresh, m.names)
}

// spread hands the records of nodes to members, to each of them once it can be
// reached.
func (m *Machine) spread(names, members []string) {
	var to []Target
	for _, name := range members {
		switch l := m.links[name]; {
		case slices.Contains(names, name):
		case m.reaches(l):
			to = append(to, Target{Node: name, To: l.signed.Grant.IP})
		default:
			m.owe(name, names)
		}
	}
	for chunk := range slices.Chunk(names, maxJoiners) {
		m.pushTo(to, Request{Format: Format, From: m.grant.Node, Records: m.envelopes(chunk)}, tellFor, func([]string) {})
	}
}
