package protocol

import "maps"

// report logs changes of state, counts and tells the user.
func (m *Machine) report() {
	if len(m.contested)+len(m.turns) > 0 {
		m.contest()
	}
	m.watchGossip()
	counts := map[State]int{StateUp: 0, StateConnecting: 0, StateUnreachable: 0, StateAway: 0}
	news := false
	for _, name := range m.names {
		l := m.links[name]
		st, reason := l.state(m.now)
		counts[st]++
		was := m.states[name]
		if was == st {
			continue
		}
		m.states[name] = st
		news = true
		switch st {
		case StateUp:
			m.log.Info("peer up", "peer", name, "endpoint", l.status.Endpoint)
		case StateConnecting:
			m.log.Debug("peer connecting", "peer", name, "reason", reason)
		default:
			m.log.Info("peer "+string(st), "peer", name, "reason", reason)
		}
	}
	if g := (Gauge{counts, m.roots.RevocationNumber()}); !maps.Equal(g.Peers, m.gauge.Peers) || g.Revocations != m.gauge.Revocations {
		m.gauge = g
		m.do(g)
	}
	if news {
		m.do(Changed{})
	}
	if counts[StateUp] > 0 {
		m.becomeReady()
	}
}

func (m *Machine) becomeReady() {
	if !m.ready {
		m.ready = true
		m.do(Ready{})
	}
}
