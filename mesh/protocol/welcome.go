package protocol

import (
	"slices"
	"time"
)

// porch is where joiners wait until the members know them.
type porch struct {
	founding time.Time        // until then they wait outside, see found; zero if not
	early    []JoinerReceived // who wait so
	waiting  []arrival
	crowded  bool // the last were a crowd
	pushing  int  // pushes under way
}

// arrival is a joiner that is in this node's device.
type arrival struct {
	id       uint64 // of its request
	at       time.Time
	node     string
	envelope []byte
}

// open reports when those who wait are let in: a single one at once, others when
// nobody else has come for a while, but not for ever. Zero if nobody waits.
func (p *porch) open() time.Time {
	n := len(p.waiting)
	switch {
	case n == 0:
		return time.Time{}
	case n == 1 && p.pushing == 0 && !p.crowded:
		return p.waiting[0].at
	}
	return earlier(p.waiting[n-1].at.Add(joinersFor), p.waiting[0].at.Add(crowdFor))
}

// found has an introducer that starts with nobody look for the other ones of its
// bundle before it lets others in. When all nodes of a mesh start at once, it
// would begin as several networks, and to bring these together costs more than
// to wait for the other introducers.
func (m *Machine) found() {
	others := slices.ContainsFunc(m.cfg.Introducers, func(a string) bool { return !m.isSelf(a) })
	if m.cfg.Introduce != "" && others && len(m.links) == 0 {
		m.porch.founding = m.now.Add(m.timing.Introducers * 3 / 4)
	}
}

// founded lets those in who have waited for that.
func (m *Machine) founded() {
	p := &m.porch
	early := p.early
	p.founding, p.early = time.Time{}, nil
	for _, e := range early {
		e.apply(m)
	}
}

// welcome lets in those who wait. The records of a few go to the members first,
// in one push, so that these know them when they are answered. The first one
// does not wait; those who come meanwhile are collected, so that a mass join
// costs each member some requests and not one for each joiner. A crowd is
// answered as a whole, so that each of them knows all others, and its members
// are told later: they are busy with each other, and would not acknowledge in
// time.
func (m *Machine) welcome() {
	p := &m.porch
	if open := p.open(); open.IsZero() || m.now.Before(open) {
		return
	}
	batch := p.waiting
	p.waiting, p.crowded = nil, len(batch) >= crowd
	q := Request{Format: Format, From: m.grant.Node}
	joiners := make([]string, len(batch))
	for i, a := range batch {
		joiners[i] = a.node
		q.Records = append(q.Records, a.envelope)
	}
	if p.crowded {
		m.letIn(batch, nil)
		m.spread(joiners, m.names)
		return
	}
	p.pushing++
	for _, name := range m.names {
		if !slices.Contains(joiners, name) && !m.reaches(m.links[name]) {
			m.owe(name, joiners, 0)
		}
	}
	m.push(q, joiners, m.timing.Acknowledge, func(acked []string) {
		p.pushing--
		m.letIn(batch, acked)
	})
}

// letIn answers joiners; acked are the members who have programmed them, beside
// this one.
func (m *Machine) letIn(batch []arrival, acked []string) {
	acked = append(slices.Clone(acked), m.grant.Node)
	slices.Sort(acked)
	for _, a := range batch {
		m.do(Answer{ID: a.id, Reply: m.welcomeReply(acked)})
	}
}

// welcomeReply is all that a joiner needs; acked are those who have programmed it.
func (m *Machine) welcomeReply(acked []string) Reply {
	return Reply{Format: Format, Records: m.allEnvelopes(), Revocations: m.roots.Revocations(), Acknowledged: acked}
}
