package protocol

import (
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// contestFor is how long a node may take to answer with a WireGuard key that
// another claims, too, before the other one has its turn: the true owner may be
// the one that was kept out, and it can prove nothing from there. It is half to
// one and a half of that, by chance: where each of two nodes has the other's key
// contested, their turns must not pass each other by for ever.
const contestFor = 10 * time.Second

// claim says how good a node's claim of a WireGuard key is: 0 is best, for those
// who have proved that they hold it; then those come that have not had their
// turn, and last those whose turn is longest ago.
func (m *Machine) claim(s *identity.Signed) int64 {
	if m.proved(s) {
		return 0
	}
	if t, ok := m.doubted[s.Grant.Node]; ok {
		return 2 + t.Sub(m.began).Nanoseconds()
	}
	return 1
}

// turn is how long a node has had a WireGuard key that others claim, too.
type turn struct {
	key  identity.Bytes32
	ends time.Time
}

// contest gives the next claimant of a WireGuard key its turn, where the present
// one has not answered with it in time.
func (m *Machine) contest() {
	turned := false
	for _, node := range m.names {
		l := m.links[node]
		if !m.contested[node] || l.proved {
			delete(m.turns, node)
			continue
		}
		key := l.signed.Record.WireGuardKey
		if t, ok := m.turns[node]; !ok || t.key != key {
			m.turns[node] = turn{key, m.now.Add(contestFor/2 + m.upTo(contestFor))}
		} else if !m.now.Before(t.ends) {
			delete(m.turns, node)
			m.doubted[node] = m.now
			turned = true
		}
	}
	if !turned {
		return
	}
	if len(m.doubted) > MaxMembers { // of members that are gone
		clear(m.doubted)
	}
	m.refresh(nil)
	m.wakeUp()
}

// Clash returns why a node that is known is not in the device though its record
// is valid, "" if there is no such reason.
func (m *Machine) Clash(node string) string { return m.clashes[node] }
