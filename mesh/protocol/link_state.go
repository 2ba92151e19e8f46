package protocol

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// peer returns the link as users see it.
func (l *link) peer(now time.Time) Peer {
	g := l.signed.Grant
	p := Peer{
		Name: g.Node, IP: g.IP, IP6: g.IP6, Groups: slices.Clone(g.Groups), Roles: slices.Clone(g.Roles),
		Endpoint: l.status.Endpoint, RTT: l.rtt, LastHandshake: l.status.LastHandshake,
		RxBytes: l.status.RxBytes, TxBytes: l.status.TxBytes,
	}
	p.State, p.Reason = l.state(now)
	if p.State == StateUp || l.live(now) {
		p.Path = pathOf(l.status.Endpoint, l.signed.Record)
	}
	return p
}

// state returns how the peer is doing, and why not better in plain words.
func (l *link) state(now time.Time) (State, string) {
	switch {
	case l.signed.Record.Away:
		return StateAway, "it said at " + l.signed.Record.Issued.UTC().Format(time.RFC3339) + " that it stops"
	case l.up():
		return StateUp, ""
	case l.answer.IsZero() && now.Sub(l.since) < connectFor:
		return StateConnecting, l.attempt()
	}
	return StateUnreachable, l.failure(now)
}

func (l *link) attempt() string {
	if !l.paths.using.IsValid() {
		return "waiting for it to call: it names no address that can be reached from here"
	}
	return "trying " + l.paths.using.String()
}

func (l *link) failure(now time.Time) string {
	var since string
	if !l.answer.IsZero() {
		since = fmt.Sprintf("silent for %s; ", now.Sub(l.answer).Round(time.Second))
	}
	if l.live(now) && l.lastData.Sub(l.answer) > 5*time.Second {
		return since + fmt.Sprintf("WireGuard hears it, but nothing answers on UDP port %d in the tunnel: is cbnetd running there, and does its firewall let the interface in?", GossipPort)
	}
	if len(l.paths.list) == 0 {
		return since + l.attempt()
	}
	names := make([]string, len(l.paths.list))
	for i, c := range l.paths.list {
		names[i] = c.addr.String()
	}
	return since + "no answer from " + strings.Join(names, ", ") + ": it is down, or the UDP port is closed on the way"
}

// way returns the link's path as users see it.
func (l *link) way(now time.Time) Way {
	p := l.peer(now)
	w := Way{Name: p.Name, State: string(p.State), Path: string(p.Path), Endpoint: p.Endpoint, RTT: l.pulse.rtt}
	if p.Path != PathNone {
		w.Class = classOf(l.here, p.Endpoint, l.signed.Record).String()
	}
	for _, c := range l.paths.list {
		w.Candidates = append(w.Candidates, Candidate{
			Endpoint: c.addr, Kind: c.name(), Class: c.class.String(), Tried: c.tried, Answered: c.answered, Tries: c.tries, RTT: c.rtt,
			Verdict: l.verdict(c),
		})
	}
	for _, a := range l.refused {
		w.Candidates = append(w.Candidates, Candidate{
			Endpoint: a, Kind: "refused", Class: classOf(l.here, a, l.signed.Record).String(), Verdict: VerdictRefused,
		})
	}
	return w
}

func (l *link) verdict(c candidate) Verdict {
	switch {
	case c.addr == l.paths.using && l.up() && !l.paths.trial:
		return VerdictInUse
	case c.addr == l.paths.using && !l.signed.Record.Away:
		return VerdictTrying
	case !c.answered.IsZero() && !c.tried.After(c.answered):
		return VerdictWorks
	case !c.tried.IsZero():
		return VerdictNoAnswer
	}
	return VerdictNotTried
}
