package protocol

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Limits of what others say of this node's own address.
const (
	// maxObserved bounds the observed endpoints in the own record.
	maxObserved = 2
	// sightedFor is how long a sighting counts that is not repeated.
	sightedFor = 2 * time.Minute
	// observedEvery is the least time between two records that differ in the
	// observed endpoints only.
	observedEvery = 30 * time.Second
	// sightEach is how long the first sightings are collected, for each peer, and
	// sightFor at most: when many join at once, each new record of one costs all
	// others.
	sightEach = 40 * time.Millisecond
	sightFor  = 2 * time.Second
	// maxChanges is how often one peer may change its mind within changesFor
	// before it counts no more.
	maxChanges = 3
	changesFor = 10 * time.Minute
)

// sighting is where one peer sees this node.
type sighting struct {
	at      netip.AddrPort
	last    time.Time // it said so
	changes []time.Time
}

// sightings is where this node's WireGuard is seen from outside: every peer is
// a STUN server, since its device shows where a packet came from. What one says
// may be a lie, so the majority decides, and nothing that is said here takes an
// address away that works: others only try what is published.
type sightings struct {
	by        map[string]*sighting // by peer
	published []netip.AddrPort
	next      time.Time // nothing is published before
}

// take takes where a peer sees this node. The caller leaves out peers in this
// node's own network: they do not see its NAT.
func (s *sightings) take(peer string, at netip.AddrPort, now time.Time) {
	if s.by == nil {
		s.by = make(map[string]*sighting)
	}
	g := s.by[peer]
	if g == nil {
		g = &sighting{at: at}
		s.by[peer] = g
	}
	if g.at != at {
		g.changes = slices.DeleteFunc(g.changes, func(t time.Time) bool { return now.Sub(t) > changesFor })
		if len(g.changes) <= maxChanges {
			g.changes = append(g.changes, now)
		}
		g.at = at
	}
	g.last = now
}

// drop forgets what a peer said that is gone.
func (s *sightings) drop(peer string) { delete(s.by, peer) }

// votes counts the peers that see this node at each address, without those that
// have changed their minds too often.
func (s *sightings) votes(now time.Time) map[netip.AddrPort]int {
	votes := make(map[netip.AddrPort]int)
	for _, g := range s.by {
		if now.Sub(g.last) <= sightedFor && len(g.changes) <= maxChanges {
			votes[g.at]++
		}
	}
	return votes
}

// hardNAT reports whether a NAT gives this node another port for each peer, as
// far as can be told: no two of at least two agree. Such a port is of use to
// nobody else.
func hardNAT(votes map[netip.AddrPort]int) bool {
	ports := make(map[netip.Addr]int) // how many an address is seen at
	for at, n := range votes {
		if n > 1 {
			return false
		}
		ports[at.Addr()]++
	}
	for _, n := range ports {
		if n > 1 {
			return true
		}
	}
	return false
}

// want returns the observed endpoints that the own record should have, best
// first. What is published stays as long as anybody sees it, or nobody says
// anything; of the others those that more peers see come first, and one that a
// single peer sees only if there is none that two see.
func (s *sightings) want(now time.Time) []netip.AddrPort {
	votes := s.votes(now)
	if len(votes) == 0 {
		return s.published
	}
	if hardNAT(votes) {
		return nil
	}
	best := 0
	for _, n := range votes {
		best = max(best, n)
	}
	addrs := slices.Collect(maps.Keys(votes))
	if best > 1 {
		addrs = slices.DeleteFunc(addrs, func(a netip.AddrPort) bool { return votes[a] < 2 })
	}
	slices.SortFunc(addrs, func(a, b netip.AddrPort) int {
		return cmp.Or(
			cmp.Compare(votes[b], votes[a]),
			cmp.Compare(s.rank(a), s.rank(b)),
			a.Compare(b),
		)
	})
	return addrs[:min(len(addrs), maxObserved)]
}

// rank puts what is published before what is not.
func (s *sightings) rank(a netip.AddrPort) int {
	if slices.Contains(s.published, a) {
		return 0
	}
	return 1
}

// due reports whether the own record should say something else, and takes it as
// said: at most once in observedEvery.
func (s *sightings) due(now time.Time) bool {
	if now.Before(s.next) {
		return false
	}
	want := s.want(now)
	same := len(want) == len(s.published) && !slices.ContainsFunc(want, func(a netip.AddrPort) bool { return !slices.Contains(s.published, a) })
	if same {
		return false
	}
	s.published, s.next = want, now.Add(observedEvery)
	return true
}
