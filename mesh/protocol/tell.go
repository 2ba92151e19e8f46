package protocol

import "slices"

// debt is whose records an introducer still has to hand to a member that it did
// not reach when it got them, or that did not acknowledge them: one of those who
// join at the same time. It is told as soon as it is heard, in one request
// instead of many of its own.
type debt struct {
	names []string
	tries int // to hand them over
}

// owe notes that a member is to be told of others. Who has not come up a while
// after it joined hears of them in gossip.
func (m *Machine) owe(member string, names []string, tries int) {
	l := m.links[member]
	if l == nil || len(names) == 0 || tries >= maxTells {
		return
	}
	if state, _ := l.state(m.now); tries == 0 && state != StateConnecting {
		return
	}
	d := m.debts[member]
	if d == nil {
		d = &debt{}
		m.debts[member] = d
	}
	d.tries = max(d.tries, tries)
	for _, n := range names {
		if n != member && len(d.names) < maxNames && !slices.Contains(d.names, n) {
			d.names = append(d.names, n)
		}
	}
}

// inform hands a member that is heard what it is owed.
func (m *Machine) inform(member string) {
	d := m.debts[member]
	if d == nil {
		return
	}
	delete(m.debts, member)
	m.hand([]string{member}, d.names, d.tries)
}

// hand pushes the records of nodes to members that are reached. Who does not
// acknowledge them is owed them again, a few times; then it hears of them in gossip.
func (m *Machine) hand(members, names []string, tries int) {
	to := make([]Target, len(members))
	for i, name := range members {
		to[i] = Target{Node: name, To: m.links[name].signed.Grant.IP}
	}
	for chunk := range slices.Chunk(names, maxJoiners) {
		m.pushTo(to, Request{Format: Format, From: m.grant.Node, Records: m.envelopes(chunk)}, tellFor, func(acked []string) {
			for _, name := range members {
				if !slices.Contains(acked, name) {
					m.owe(name, chunk, tries+1)
				}
			}
		})
	}
}

// handing is what an introducer did not know when it answered last.
type handing struct {
	names []string
	tries int // with the same names
}

// merge brings two networks together that began apart, each with an introducer
// of its own, of which this node is one. The other has answered with what it
// has: the members here are told of what was new. What the other lacks goes with
// the next call; many join while the two talk. If it does not take something, it
// is not called for that again.
func (m *Machine) merge(by string, got admitted) {
	if m.cfg.Introduce == "" {
		return
	}
	var ours []string
	for _, name := range m.names {
		if !got.named[name] && name != by {
			ours = append(ours, name)
		}
	}
	m.spread(got.fresh, ours)
	lacks := ours[:min(len(ours), maxHanded)]
	h := m.joiner.handed[by]
	switch {
	case len(lacks) == 0:
		delete(m.joiner.handed, by)
	case h == nil || !slices.Equal(h.names, lacks):
		m.joiner.handed[by] = &handing{names: lacks}
		m.joiner.pause = firstRetry
	default:
		if h.tries++; h.tries >= maxTells {
			delete(m.joiner.handed, by)
		}
	}
}

// handover are the records that other introducers lack.
func (m *Machine) handover() [][]byte {
	var names []string
	for _, by := range sorted(m.joiner.handed) {
		for _, n := range m.joiner.handed[by].names {
			if len(names) < maxHanded && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return m.envelopes(names)
}

// takeOver takes the records that another introducer hands over, and has the
// members here told of those that were news.
func (m *Machine) takeOver(envelopes [][]byte, source string) {
	got := m.admit(envelopes, source, m.letCall)
	m.spread(got.fresh, m.names)
}

// spread hands the records of nodes to members, to each of them once it can be
// reached.
func (m *Machine) spread(names, members []string) {
	var reached []string
	for _, name := range members {
		switch {
		case slices.Contains(names, name):
		case m.reaches(m.links[name]):
			reached = append(reached, name)
		default:
			m.owe(name, names, 0)
		}
	}
	m.hand(reached, names, 0)
}
