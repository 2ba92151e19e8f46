package protocol

import (
	"slices"
	"time"
)

// push hands a request to every member that can be reached, save some, and tells
// who has answered it in time.
func (m *Machine) push(q Request, except []string, within time.Duration, then func(acknowledged []string)) {
	var to []Target
	for _, name := range m.names {
		if l := m.links[name]; !slices.Contains(except, name) && m.reaches(l) {
			to = append(to, Target{Node: name, To: l.signed.Grant.IP})
		}
	}
	m.pushTo(to, q, within, then)
}

// reaches reports whether a member can be asked something now.
func (m *Machine) reaches(l *link) bool {
	return l.up() || l.live(m.now) && !l.signed.Record.Away
}

// pushTo hands a request to some members, and tells who has answered it in time.
func (m *Machine) pushTo(to []Target, q Request, within time.Duration, then func(acknowledged []string)) {
	if !m.opened || len(to) == 0 {
		then(nil)
		return
	}
	m.lastID++
	m.pushes[m.lastID] = then
	m.do(Push{ID: m.lastID, To: to, Request: q, Within: within})
}

// pushSelf hands this node's record to everyone who can be reached, within
// about a second.
func (m *Machine) pushSelf(then func(acknowledged []string)) {
	m.push(Request{Format: Format, From: m.grant.Node, Records: [][]byte{m.self.Envelope}}, nil, goodbyeFor, then)
}

// apply implements Event.
func (e Pushed) apply(m *Machine) {
	then := m.pushes[e.ID]
	if then == nil {
		return
	}
	delete(m.pushes, e.ID)
	then(e.Acknowledged)
}
