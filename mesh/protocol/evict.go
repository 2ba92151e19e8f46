package protocol

import (
	"strconv"
	"time"
)

// Times of an eviction. Anybody in gossip can have a node held for dead, for
// ever, under its present name; so it comes back under another one. Whoever lies
// about that costs a node no more than a start of gossip, ever more rarely.
const (
	// evictedFor is how long most peers have to say that they do not hold it.
	evictedFor = 10 * time.Second
	// renameEvery is the least time between two names; it doubles up to lastRename.
	renameEvery = time.Minute
	lastRename  = time.Hour
)

// eviction is what others say of this node's present name in gossip.
type eviction struct {
	held   map[string]bool // whether the gossip of each peer holds it
	since  time.Time       // most say no; zero if they do not
	next   time.Time       // no other name before
	pause  time.Duration
	busy   bool // gossip is being started anew
	broken bool // that has failed
}

// holds says whether this node's gossip holds another one under a name.
func (m *Machine) holds(node string, start uint64) Held {
	if start == 0 || len(m.gossip.alive) == 0 {
		return HeldUnknown
	}
	if m.gossip.held[start] == node {
		return HeldAlive
	}
	return HeldNot
}

// heldBy takes what a peer's gossip says of this node.
func (m *Machine) heldBy(node string, h Held) {
	e := &m.eviction
	if h == HeldUnknown {
		delete(e.held, node)
	} else {
		e.held[node] = h == HeldAlive
	}
}

// evicted reports whether most of the peers that are up do not hold this node,
// and at least two, or the only one. Where it holds nobody itself it is alone,
// and joins anyway.
func (m *Machine) evicted() bool {
	up, not := 0, 0
	for _, name := range m.names {
		if !m.links[name].up() {
			continue
		}
		up++
		if alive, said := m.eviction.held[name]; said && !alive {
			not++
		}
	}
	return 2*not > up && (not >= 2 || up == 1) && !m.alone()
}

// watchGossip takes another name in gossip once this node finds itself evicted.
func (m *Machine) watchGossip() {
	e := &m.eviction
	if e.busy || !m.evicted() {
		e.since = time.Time{}
		return
	}
	if e.since.IsZero() {
		e.since = m.now
	}
	if m.now.Sub(e.since) < evictedFor || m.now.Before(e.next) {
		return
	}
	m.log.Warn("gossip holds this node for dead: it comes back under another name", "peers", len(e.held))
	if !e.next.IsZero() && m.now.Sub(e.next) < e.pause {
		e.pause = min(2*e.pause, lastRename)
	} else {
		e.pause = renameEvery
	}
	e.next = m.now.Add(e.pause)
	m.rename()
}

// rename starts gossip anew, under another name.
func (m *Machine) rename() {
	e := &m.eviction
	e.since, e.busy = time.Time{}, true
	clear(e.held)
	boot := strconv.FormatInt(m.now.UnixMilli(), 16)
	if boot == m.gossip.boot {
		boot = strconv.FormatInt(m.now.UnixMilli()+1, 16)
	}
	m.gossip.boot, m.gossip.next = boot, time.Time{}
	clear(m.gossip.alive)
	clear(m.gossip.held)
	m.do(RestartGossip{m.GossipName()})
}

// apply implements Event.
func (e GossipRestarted) apply(m *Machine) {
	m.eviction.busy = false
	if e.Err != nil {
		m.log.Error("gossip not started anew, trying on", "err", e.Err)
		m.gossip.next = m.now.Add(m.timing.Rejoin)
		m.eviction.broken = true
		return
	}
	m.eviction.broken = false
	clear(m.gossip.alive) // what the former one said at its end
	clear(m.gossip.held)
	if !m.gossip.joining {
		m.joinGossip()
	}
}
