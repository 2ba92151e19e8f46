package protocol

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// class is what a byte costs on a way to a peer: lower is cheaper.
type class int

// The price classes.
const (
	classNetwork  class = iota // private addresses of a network that both nodes are in
	classLAN                   // an address in a subnet of one of our interfaces
	classPublic                // an address that everyone reaches
	classObserved              // one that others see the peer at, through a NAT
	classRelay                 // through another node
)

// String returns the name that users see.
func (c class) String() string {
	switch c {
	case classNetwork:
		return "network"
	case classLAN:
		return "lan"
	case classPublic:
		return "public"
	case classObserved:
		return "observed"
	}
	return "relay"
}

// Times of path choice.
const (
	// trialFor is how long a cheaper address is tried while another one works.
	trialFor = 500 * time.Millisecond
	// trialEvery is the least time between two trials of one pair.
	trialEvery = time.Minute
	// trialBackoff bounds the time until an address that did not answer is tried
	// again; it begins at trialEvery and doubles.
	trialBackoff = time.Hour
	// settleFor is how long a path has to work before another one is tried.
	settleFor = 3 * time.Second
	// hopFor is how long an address is tried after the path has broken, as long
	// as WireGuard's session may still hold: no handshake is needed then.
	hopFor = 500 * time.Millisecond
	// sessionFor is how long a session of WireGuard carries data (REJECT_AFTER_TIME).
	sessionFor = 180 * time.Second
)

// candidate is one address at which a peer may be reached, and what came of it.
type candidate struct {
	addr     netip.AddrPort
	kind     identity.EndpointKind // as the record says; empty if none names it
	class    class
	last     bool          // not tried before the others have been twice
	named    bool          // by the peer's record, and not only heard from
	tried    time.Time     // the last attempt began; zero if never
	answered time.Time     // it last worked; zero if never
	tries    int           // attempts since it last worked
	rtt      time.Duration // smoothed; zero if never measured
	round    int           // of the search in which it was tried last
	after    time.Time     // no trial before
	worked   bool          // at the last start of this node
}

// name returns the kind as users see it.
func (c candidate) name() string {
	if !c.named {
		return "heard"
	}
	return string(c.kind)
}

// paths chooses among the addresses of one peer. It is a pure state machine: it
// is told what the device and the probes say, and says which address the device
// is to send to.
//
//	           an answer from there, cheaper or faster
//	       +-----------------------------------------------+
//	       v                                               |
//	+--> using ----- a better one is due, we steer -----> trial
//	|      |  ^                                            |
//	|      |  +------- none within 500 ms: back -----------+
//	|      | silent
//	|      v
//	+-- search: each in turn, cheapest first
//
// WireGuard has one endpoint for a peer, so an address can be tried only by
// sending everything there.
type paths struct {
	list  []candidate    // best first
	using netip.AddrPort // what the device is to have; invalid to leave it alone
	since time.Time      // it has been in use, or tried

	trial   bool           // using is tried, back is what works
	back    netip.AddrPort // the way back
	nextTry time.Time      // no trial before
	steers  bool           // this side of the pair makes the trials

	searching bool
	hopping   bool // in the first round, while the session may still hold
	round     int  // of all searches
	searched  int  // full rounds of this search
}

// find returns the candidate with an address, nil if there is none.
func (p *paths) find(a netip.AddrPort) *candidate {
	i := slices.IndexFunc(p.list, func(c candidate) bool { return c.addr == a })
	if i < 0 {
		return nil
	}
	return &p.list[i]
}

// offer takes the addresses of a newer record, best first within their class.
// What is known of those that stay is kept; the one in use stays in any case,
// and so does the one to go back to.
func (p *paths) offer(named []candidate, now time.Time) {
	list := make([]candidate, 0, len(named)+2)
	for _, n := range named {
		if slices.ContainsFunc(list, func(c candidate) bool { return c.addr == n.addr }) {
			continue
		}
		c := n
		if old := p.find(n.addr); old != nil {
			c = *old
			c.class, c.kind, c.last = n.class, n.kind, n.last
		} else if p.using.IsValid() {
			p.nextTry = earlier(p.nextTry, now.Add(trialFor)) // a new way: see soon whether it is better
		}
		c.named = true
		list = append(list, c)
	}
	for _, c := range p.list {
		keep := c.addr == p.using || p.trial && c.addr == p.back || !c.answered.IsZero() || c.worked
		if keep && !slices.ContainsFunc(list, func(n candidate) bool { return n.addr == c.addr }) {
			c.named = false
			list = append(list, c)
		}
	}
	p.list = list
	p.forget()
	p.rank()
}

// maxHeard bounds the addresses that are kept though no record names them: a
// peer behind a NAT shows a new one each time its mapping is lost.
const maxHeard = 2

// forget drops the addresses that no record names, but for the last ones.
func (p *paths) forget() {
	for {
		oldest, n := -1, 0
		for i, c := range p.list {
			if c.named || c.addr == p.using || p.trial && c.addr == p.back {
				continue
			}
			n++
			if oldest < 0 || c.answered.Before(p.list[oldest].answered) {
				oldest = i
			}
		}
		if n <= maxHeard {
			return
		}
		p.list = slices.Delete(p.list, oldest, oldest+1)
	}
}

// rank sorts by price, then by the round trip. One that was never measured
// comes behind those that were: unknown is not fast. Equals keep their order.
func (p *paths) rank() {
	slices.SortStableFunc(p.list, func(a, b candidate) int {
		if c := cmp.Compare(a.class, b.class); c != 0 {
			return c
		}
		known := func(c candidate) int {
			if c.rtt > 0 {
				return 0
			}
			return 1
		}
		if c := cmp.Compare(known(a), known(b)); c != 0 {
			return c
		}
		return cmp.Compare(a.rtt, b.rtt)
	})
}

// remember takes the address that worked when this node ran last.
func (p *paths) remember(a netip.AddrPort) {
	p.list = append(p.list, candidate{addr: a, class: classPublic, worked: true})
}

// drop takes an address out that the device refuses.
func (p *paths) drop(a netip.AddrPort) {
	p.list = slices.DeleteFunc(p.list, func(c candidate) bool { return c.addr == a })
	if p.trial && (p.using == a || p.back == a) {
		p.using, p.trial, p.back = p.back, false, netip.AddrPort{}
	}
	if p.using == a {
		p.using = netip.AddrPort{}
	}
}

// move makes an address the one to use.
func (p *paths) move(a netip.AddrPort, now time.Time) {
	p.using, p.since = a, now
	if c := p.find(a); c != nil {
		c.tried = now
		c.tries++
		c.round = p.round
	}
}

// heard takes the address from which the device hears the peer, and its class if
// no record names it. Where a peer is heard from wins over what records say, for the device sends
// there already.
func (p *paths) heard(a netip.AddrPort, unnamed class, now time.Time) {
	if !a.IsValid() || a == p.using {
		return
	}
	if p.trial && a == p.back {
		return // what it sent before it heard of the trial
	}
	if p.find(a) == nil {
		p.list = append(p.list, candidate{addr: a, class: unnamed})
		p.rank()
	}
	if p.trial { // it answers the trial, but from elsewhere
		p.putOff(p.find(p.using), now)
	}
	p.trial, p.back = false, netip.AddrPort{}
	p.using, p.since = a, now
	p.forget()
}

// answered takes a probe's answer that came on the address in use: at says
// which one that is, by the device. rtt is 0 if the probe had to wait for a
// handshake.
func (p *paths) answered(at netip.AddrPort, rtt time.Duration, now time.Time) {
	p.searching, p.hopping, p.searched = false, false, 0
	c := p.find(at)
	if c == nil {
		return
	}
	c.answered, c.tries = now, 0
	if rtt > 0 {
		c.rtt = smooth(c.rtt, rtt)
	}
	if p.trial && at == p.using {
		p.judge(c, now)
	}
}

// judge decides on a trial that was answered: a cheaper address stays, one of
// the same price only if it is clearly faster.
func (p *paths) judge(c *candidate, now time.Time) {
	old := p.find(p.back)
	if old != nil && old.class == c.class && !faster(c.rtt, old.rtt) {
		c.after = now.Add(trialBackoff)
		p.revert(now)
		return
	}
	p.trial, p.back, p.since = false, netip.AddrPort{}, now
	p.rank()
}

// faster reports whether a round trip is worth a change: by a fifth and by two
// milliseconds. Noise is no reason.
func faster(a, b time.Duration) bool {
	return a > 0 && b > 0 && b-a >= 2*time.Millisecond && a < b*4/5
}

// smooth follows round trips as TCP does (RFC 6298): an eighth at a time.
func smooth(old, next time.Duration) time.Duration {
	if old == 0 {
		return next
	}
	return old + (next-old)/8
}

// revert goes back to what worked before the trial.
func (p *paths) revert(now time.Time) {
	p.using, p.since = p.back, now
	p.trial, p.back = false, netip.AddrPort{}
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
