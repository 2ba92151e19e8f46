package protocol

import (
	"net/netip"
	"time"
)

// signs is what a link knows of its peer when it asks where to send.
type signs struct {
	answers bool          // probes are answered
	silent  bool          // nothing was heard for a second, though it was asked; see pulse
	heard   time.Time     // WireGuard heard it last, whatever the probes say; zero if never
	session bool          // WireGuard's session may still hold
	busy    bool          // users' traffic is on the path
	dwell   time.Duration // how long an address is tried that needs a handshake
	lag     time.Duration // added to that, so that the two sides do not shake hands at one moment
}

// step says what to do with the path.
type step int

const (
	stepStay  step = iota // nothing
	stepHop               // send to paths.using from now on, and probe at once
	stepShake             // so too, and start a handshake: take the peer out of the device first
)

// start sets the first address to try: where the peer answered last, else the
// best one. It is to be tried from a time on.
func (p *paths) start(from time.Time) {
	p.trial, p.back = false, netip.AddrPort{}
	p.searching, p.hopping, p.searched = true, false, 0
	p.round++
	p.using, p.since = netip.AddrPort{}, from
	if n := p.next(); n != nil {
		p.move(n.addr, from)
	}
}

// fresh begins anew with an address that was never tried, if there is one, since
// the path does not work: a newer record says where the peer is now.
func (p *paths) fresh(now time.Time) step {
	for i := range p.list {
		if c := &p.list[i]; c.named && c.tried.IsZero() {
			p.trial, p.back = false, netip.AddrPort{}
			p.searching, p.hopping, p.searched = true, false, 0
			p.move(c.addr, now)
			return stepShake
		}
	}
	return stepStay
}

// step moves the choice to now.
func (p *paths) step(now time.Time, s signs) step {
	switch {
	case p.trial && now.Sub(p.since) < p.window():
		return stepStay
	case p.trial:
		p.putOff(p.find(p.using), now)
		p.revert(now)
		return stepHop
	case s.answers && !s.silent:
		p.searching = false
		return p.upgrade(now, s)
	case !p.searching && !s.silent, len(p.list) == 0:
		return stepStay
	case p.searching && s.heard.After(p.since) && now.Sub(s.heard) < heardFor:
		return stepStay // its daemon does not answer, but the path is good
	}
	return p.search(now, s)
}

// window is how long a trial may take: longer than two round trips.
func (p *paths) window() time.Duration {
	if c := p.find(p.back); c != nil {
		return max(trialFor, min(2*c.rtt, 4*trialFor))
	}
	return trialFor
}

// putOff keeps an address that did not answer from being tried again soon.
func (p *paths) putOff(c *candidate, now time.Time) {
	if c != nil {
		c.after = now.Add(min(trialEvery<<min(max(c.tries-1, 0), 6), trialBackoff))
	}
}

// search tries the addresses in turn. The first round is a quick one if the
// session may still hold, for then nothing but the way is missing. Later each
// gets the time of a handshake, and twice as much in each round, 16 times at most.
func (p *paths) search(now time.Time, s signs) step {
	if !p.searching {
		p.searching, p.searched = true, 0
		p.round++
		if c := p.find(p.using); c != nil {
			c.round = p.round
		}
		p.hopping = s.session && p.next() != nil
		if !p.hopping {
			p.since = now // the peer may be starting again, and call by itself
			return stepStay
		}
	} else if now.Sub(p.since) < p.patience(s) {
		return stepStay
	}
	n := p.next()
	if n == nil {
		if p.hopping {
			p.hopping = false
		} else {
			p.searched++
		}
		p.round++
		n = p.next()
	}
	p.move(n.addr, now)
	if p.hopping {
		return stepHop
	}
	return stepShake
}

// patience is how long the address in use is tried in a search.
func (p *paths) patience(s signs) time.Duration {
	if p.hopping {
		return hopFor
	}
	return s.dwell<<min(p.searched, 4) + s.lag
}

// next returns the address to try next in this round: the one that worked last,
// then the best; nil if the round is over.
func (p *paths) next() *candidate {
	var best, last *candidate
	for i := range p.list {
		c := &p.list[i]
		if last == nil || c.lastWorked().After(last.lastWorked()) {
			last = c
		}
		if best == nil && c.round != p.round && (!c.last || p.searched >= 2) {
			best = c
		}
	}
	if last != nil && last.round != p.round && !last.lastWorked().IsZero() {
		return last
	}
	return best
}

// lastWorked is when an address worked, long ago if in another run; zero if never.
func (c *candidate) lastWorked() time.Time {
	if c.answered.IsZero() && c.worked {
		return time.Unix(1, 0)
	}
	return c.answered
}

// due reports whether step is about to leave the address in use because nothing
// is heard there.
func (p *paths) due(now time.Time, s signs) bool {
	switch {
	case p.trial:
		return now.Sub(p.since) >= p.window()
	case len(p.list) == 0 || s.answers && !s.silent:
		return false
	case !p.searching:
		return s.silent
	}
	return now.Sub(p.since) >= p.patience(s)
}

// upgrade begins a trial if a better address is due. In the way of users'
// traffic only a cheaper one is tried, and only after a minute: what is sent to
// an address that does not answer is lost.
func (p *paths) upgrade(now time.Time, s signs) step {
	settled := now.Sub(p.since)
	if !p.steers || now.Before(p.nextTry) || settled < settleFor {
		return stepStay
	}
	cur := p.find(p.using)
	if cur == nil || cur.rtt == 0 {
		return stepStay
	}
	for i := range p.list {
		c := &p.list[i]
		cheaper := c.class < cur.class
		if c == cur || c.class > cur.class || now.Before(c.after) || s.busy && (!cheaper || settled < trialEvery) {
			continue
		}
		if !cheaper && c.rtt != 0 && !faster(c.rtt, cur.rtt) {
			continue
		}
		p.trial, p.back, p.nextTry = true, p.using, now.Add(trialEvery)
		p.move(c.addr, now)
		return stepHop
	}
	return stepStay
}
