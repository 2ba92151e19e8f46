package protocol

import (
	"cmp"
	"slices"
	"time"
)

// wants is what is known to exist elsewhere, in the order in which it was
// heard of.
type wants struct {
	byNode map[string]*want
	order  []string        // of byNode; want.index says where
	asking map[string]bool // members that a fetch is under way from
	next   time.Time       // when to look at it; zero if nothing is wanted
	vain   int             // in order: where dropWant goes on
}

// want is a record, or a revocation list, that is known to exist elsewhere.
type want struct {
	digest  Digest
	sources []string // nodes that have it, as they say; the last few
	turn    string   // of these, whom to ask next; empty: any
	tries   int      // in a row; whoever is new as a source takes some back
	asked   int      // in all
	next    time.Time
	index   int
}

// wantList is the key under which the revocation list is wanted: no node's name.
const wantList = ""

func newWants() wants { return wants{byNode: map[string]*want{}, asking: map[string]bool{}} }

func (ws *wants) due(now time.Time) bool { return !ws.next.IsZero() && !now.Before(ws.next) }

// look has it looked at then.
func (ws *wants) look(at time.Time) {
	if ws.next.IsZero() || at.Before(ws.next) {
		ws.next = at
	}
}

// put adds a want, or replaces the node's.
func (ws *wants) put(node string, w *want) {
	if old := ws.byNode[node]; old != nil {
		w.index = old.index
	} else {
		w.index = len(ws.order)
		ws.order = append(ws.order, node)
	}
	ws.byNode[node] = w
}

// drop takes the want for a node's record out; another takes its place in the order.
func (ws *wants) drop(node string) {
	w := ws.byNode[node]
	if w == nil {
		return
	}
	last := len(ws.order) - 1
	moved := ws.order[last]
	ws.order[w.index] = moved
	ws.byNode[moved].index = w.index
	ws.order = ws.order[:last]
	delete(ws.byNode, node)
}

// want notes that a node, perhaps unknown, has a record that differs from ours.
// Whoever says so only costs a bounded number of fetches.
func (m *Machine) want(node string, d Digest, source string) {
	if m.has(node, d) {
		return
	}
	w := m.wants.byNode[node]
	if w == nil {
		if m.book.records[node] == nil && node != wantList && len(m.wants.byNode) >= maxWanted && !m.dropWant() {
			return
		}
		w = &want{next: m.patience(node)}
		m.wants.put(node, w)
	}
	if d.Version > w.digest.Version {
		w.digest, w.tries = d, 0
	}
	if !slices.Contains(w.sources, source) {
		w.sources = append(w.sources[max(0, len(w.sources)-3):], source)
		if l := m.links[source]; w.tries > 0 && l != nil && l.up() {
			// The others were asked in vain, they may lie: it has its turn.
			w.turn, w.tries = cmp.Or(w.turn, source), min(w.tries, maxWantTries-1)
			w.next = earlier(w.next, m.now.Add(fetchEvery))
		}
	}
	m.wants.look(laterOf(w.next, m.now))
}

// patience is until when this node waits before it asks for a record that it
// has heard of. That of an unknown node is about to be pushed by its introducer
// to everyone, and a newer one sent by its node; when many join at once, asking
// for each would cost more than all else. Those that have to be asked for are so
// together. It does not wait where the record may say how two nodes behind NATs
// reach each other: they cannot tell each other.
func (m *Machine) patience(node string) time.Time {
	l := m.links[node]
	if node == wantList || l != nil && l.pathless() && natted(m.self.Record) {
		return m.now
	}
	wait := time.Duration(hearsayFor)
	if m.book.records[node] != nil {
		wait /= 2
	}
	const together = hearsayFor / 4
	return m.now.Add(wait + m.upTo(wait)).Truncate(together).Add(together)
}

// heed notes what a node has itself told of its record, through the tunnel:
// whatever others have said of it meanwhile gives way.
func (m *Machine) heed(node string, d Digest) {
	if m.has(node, d) {
		return
	}
	next := m.now
	w := m.wants.byNode[node]
	if w != nil {
		if w.digest == d && slices.Equal(w.sources, []string{node}) {
			return
		}
		if paced := next.Add(fetchEvery); w.tries > 0 && w.next.After(next) {
			next = paced
			if w.next.Before(paced) {
				next = w.next
			}
		}
	}
	m.wants.put(node, &want{digest: d, sources: []string{node}, next: next})
	if w == nil || next.Before(w.next) { // else it is looked at then anyway
		m.wants.look(next)
	}
}

// dropWant makes room by a record of an unknown node that was asked for in
// vain, if there is one among some.
func (m *Machine) dropWant() bool {
	for range min(16, len(m.wants.order)) {
		m.wants.vain = (m.wants.vain + 1) % len(m.wants.order)
		node := m.wants.order[m.wants.vain]
		if node != wantList && m.book.records[node] == nil && m.wants.byNode[node].tries > 0 {
			m.wants.drop(node)
			return true
		}
	}
	return false
}

// has reports whether what a digest stands for is of no interest.
func (m *Machine) has(node string, d Digest) bool {
	if node == wantList {
		return m.roots.RevocationNumber() >= d.Version
	}
	have, ok := Digest{}, false
	if node == m.grant.Node {
		have, ok = digestOf(m.self), true
	} else if s := m.book.records[node]; s != nil {
		have, ok = digestOf(s), true
	}
	return ok && (have.Version > d.Version || have == d || m.conflicts[node] == d)
}

// satisfy drops the want for a node's record if it is here now.
func (m *Machine) satisfy(node string) {
	if w := m.wants.byNode[node]; w != nil && m.has(node, w.digest) {
		m.wants.drop(node)
	}
}
