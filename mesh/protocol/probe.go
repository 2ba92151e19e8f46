package protocol

import (
	"slices"
	"time"
)

// pace is when what is done again and again.
type pace struct {
	tick     time.Time // the next one
	observed time.Time // the device was read
	looked   time.Time // at the host's addresses
	wake     bool      // all links are to be looked at
	turned   time.Time // all links were looked at
	owed     time.Time // they will be then, for wake has to wait; zero if not
	probes   budget
	first    int           // whose turn it is to be probed, in names
	short    bool          // not all who are to be probed could be
	trip     time.Duration // smoothed round trip of whoever answered; zero if nobody did
	refused  time.Time     // others were asked about those who are refused
	around   time.Time     // not before, others are asked about silent peers
	cameUp   bool          // a peer has, since the device was read
	reading  bool          // the device is being read
}

// turnSoon takes the turn that is wanted: at once, but for a rest between two
// where there are many links. Should a thousand peers come up one after the other,
// each wants all thousand looked at.
func (m *Machine) turnSoon() {
	p := &m.pace
	rest := min(turnRest*time.Duration(max(0, len(m.links)-fewLinks)), maxTurnRest)
	if wait := rest - m.now.Sub(p.turned); 0 < wait && wait <= rest {
		p.owed = m.now.Add(wait)
		return
	}
	p.wake, p.turned, p.owed = false, m.now, time.Time{}
	m.turn()
}

// turn moves every link to now, sets the device and sends the probes that are
// due. Before that the device may have to be read.
func (m *Machine) turn() {
	p := &m.pace
	if p.reading {
		m.probeLinks(nil) // the rest follows
		return
	}
	fresh := m.now.Sub(p.observed) >= max(observeEvery, time.Duration(len(m.links))*time.Millisecond)
	if fresh {
		p.observed = m.now
		if m.endIfRevoked() {
			return
		}
		m.expire()
	}
	if m.now.Sub(p.looked) > lookEvery {
		p.looked = m.now
		m.do(ReadAddresses{})
	}
	if fresh || m.mustObserve() {
		p.cameUp, p.reading = false, true
		m.do(ReadDevice{})
		m.probeLinks(nil)
		return
	}
	m.stepLinks()
}

// mustObserve reports whether the device has to be read now: a peer has come
// up, or a link is about to try another address. Then it must be known whether
// the peer was heard meanwhile, or a handshake that has just succeeded would be
// thrown away.
func (m *Machine) mustObserve() bool {
	if m.pace.cameUp {
		return true
	}
	for _, l := range m.links {
		if l.mustObserve(m.now, m.timing) {
			return true
		}
	}
	return false
}

// apply implements Event.
func (e DeviceRead) apply(m *Machine) {
	m.pace.reading = false
	if e.Err != nil {
		m.log.Warn("device not read", "err", e.Err)
	}
	byKey := make(map[[32]byte]*link, len(m.links))
	for _, l := range m.links {
		byKey[l.signed.Record.WireGuardKey] = l
	}
	for _, s := range e.Peers {
		if l := byKey[s.PublicKey]; l != nil {
			l.observe(s, m.now)
			if sendable(s.Endpoint, m.where.overlay) && l.learn(m.now) {
				m.saveWithin(m.timing.Save)
			}
		}
	}
	m.stepLinks()
}

// stepLinks moves the links, sets the device and probes.
func (m *Machine) stepLinks() {
	m.probeLinks(func(l *link, name string) {
		before := l.paths.using
		l.step(m.now, m.timing)
		if l.paths.using != before {
			m.log.Debug("path tried", "peer", name, "endpoint", l.paths.using)
		}
	})
	m.setDevice()
	m.askAround()
	m.publishSeen()
	m.report()
}

// probeLinks sends the probes that are due, each after what is to be done first
// to its link; nil for nothing. Those wait that the device has to be told of.
func (m *Machine) probeLinks(first func(l *link, name string)) {
	m.pace.probes.fill(m.now, m.probeRate(), max(minBurst, len(m.names)))
	m.pace.short = false
	n := len(m.names)
	for i := range n {
		name := m.names[(m.pace.first+i)%n]
		l := m.links[name]
		if first != nil {
			first(l, name)
		}
		if nonce, ok := m.probe(l, name); ok {
			e := SendEcho{l.signed.Grant.IP, m.echo(EchoAsk, nonce)}
			if l.ready() {
				m.do(e)
			} else {
				m.device.held = append(m.device.held, e)
			}
		}
		if u := l.urgent(m.now); !u.IsZero() {
			m.pace.tick = earlier(m.pace.tick, u)
		}
	}
	if most := 4 * n; len(m.device.held) > most { // the device hangs
		m.device.held = m.device.held[len(m.device.held)-most:]
	}
}

// probe reports whether to probe a peer now, with the returned nonce. If there
// are more to probe than the budget allows, it is their turn first next time.
func (m *Machine) probe(l *link, name string) (nonce uint64, ok bool) {
	if !l.probeDue(m.now) {
		return 0, false
	}
	if !m.pace.probes.take() {
		if !m.pace.short {
			m.pace.short = true
			m.pace.first, _ = slices.BinarySearch(m.names, name)
		}
		return 0, false
	}
	return l.probe(m.now, m.timing, m.echoEvery(), m.pace.trip), true
}

// probeRate is how many probes a second this node sends at most: half again
// as many as steady peers take. Should the host be overloaded, all peers seem to
// fall silent at once; more probes would make it worse.
func (m *Machine) probeRate() float64 {
	return max(minProbeRate, 1.5*float64(len(m.names))/m.echoEvery().Seconds())
}

// budget is a token bucket.
type budget struct {
	tokens float64
	filled time.Time
}

// fill adds what has come up since the last time, at so many a second.
func (b *budget) fill(now time.Time, rate float64, burst int) {
	b.tokens = min(float64(burst), b.tokens+rate*now.Sub(b.filled).Seconds())
	b.filled = now
}

// take takes one, if there is one.
func (b *budget) take() bool {
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// askAround asks anybody for the newest records of peers that do not answer:
// gossip may miss a node, and two that do not reach each other do not tell each
// other where they are now. It asks about all at once, now and then.
func (m *Machine) askAround() {
	if m.now.Before(m.pace.around) || len(m.wants.asking) >= maxAsked {
		return
	}
	var up, lost []string
	for _, name := range m.names {
		switch l := m.links[name]; {
		case l.up() && !m.wants.asking[name]:
			up = append(up, name)
		case l.lost && len(lost) < maxLost:
			lost = append(lost, name)
		}
	}
	refused := m.refusedNames(maxLost - len(lost))
	if len(lost)+len(refused) == 0 || len(up) == 0 {
		return
	}
	for _, name := range lost {
		m.links[name].lost = false
	}
	if len(refused) > 0 {
		m.pace.refused = m.now
		lost = append(lost, refused...)
	}
	m.pace.around = m.now.Add(aroundEvery + m.upTo(aroundEvery))
	source := up[m.rand.IntN(len(up))]
	m.wants.asking[source] = true
	m.do(Fetch{From: source, To: m.links[source].signed.Grant.IP, Request: Request{
		Format: Format, From: m.grant.Node, Names: lost, Numbered: m.roots.RevocationNumber(),
	}})
}

// refusedNames returns nodes that are refused for what their records claim, now
// and then, for they may have newer ones and no way to tell: they are not in the
// device.
func (m *Machine) refusedNames(most int) []string {
	if m.now.Sub(m.pace.refused) < seekEvery {
		return nil
	}
	names := sorted(m.clashes)
	return names[:min(len(names), most)]
}

// apply implements Event. An echo also tells what its sender has of itself: a
// newer record or revocation list is fetched from it.
func (e EchoReceived) apply(m *Machine) {
	name := m.byIP[e.From]
	l := m.links[name]
	if l == nil || !m.opened {
		return
	}
	if e.Echo.Meta.Name != nameHash(name) { // it speaks for another
		m.count(MetricRefused, "echo")
		return
	}
	l.heard(m.now)
	m.inform(name)
	if l.status.LastHandshake.IsZero() {
		m.pace.cameUp = true // read the device: there has been one
	}
	switch e.Echo.Kind {
	case EchoAsk:
		answer := m.echo(EchoAnswer, e.Echo.Nonce)
		answer.Seen, answer.Held = l.seen(), m.holds(name, e.Echo.Start)
		m.do(SendEcho{e.From, answer})
		l.asks(m.now, m.echoEvery())
		if !l.up() && !l.signed.Record.Away {
			m.askBack(l)
		}
	case EchoAnswer:
		was, before := l.up(), l.answer
		ours := l.answered(e.Echo.Nonce, m.now, m.echoEvery())
		if ours && was {
			m.pace.trip = smooth(m.pace.trip, l.rtt)
		}
		if ours && !was && l.up() {
			m.pace.cameUp = true
			if natted(m.self.Record) {
				l.nextAsk = m.now.Add(observeEvery) // then it knows where it sees us
			}
			m.wakeUp()
			m.lonely()
			if !m.gossip.met || !before.IsZero() && m.now.Sub(before) > lostFor {
				m.gossip.met = true
				m.healed()
			}
		}
		if l.confirm {
			m.wakeUp() // the device says from where it came
		}
		m.sighted(name, l, e.Echo.Seen)
		m.heldBy(name, e.Echo.Held)
	}
	m.heed(name, e.Echo.Meta.Digest)
	if e.Echo.Revocations > 0 {
		m.want(wantList, Digest{Version: e.Echo.Revocations}, name)
	}
}

// askBack probes a peer that reaches us at once, whatever we were waiting for.
func (m *Machine) askBack(l *link) {
	l.quiet = m.now
	if l.nextAsk.Sub(m.now) > 0 && (l.askedN == 0 || m.now.Sub(l.lastAsk()) > m.timing.EchoRetry/4) {
		l.nextAsk = m.now
		m.wakeUp()
	}
}

// echo makes an echo that speaks for this node.
func (m *Machine) echo(kind byte, nonce uint64) Echo {
	return Echo{Kind: kind, Nonce: nonce, Meta: metaOf(m.self), Revocations: m.roots.RevocationNumber(), Start: nameHash(m.GossipName())}
}

// echoEvery is the interval of probes to one peer: longer in a large mesh.
func (m *Machine) echoEvery() time.Duration {
	return max(m.timing.Echo, time.Duration(len(m.links))*20*time.Millisecond)
}

// expire drops peers whose certificates have run out.
func (m *Machine) expire() {
	for _, l := range m.links {
		if m.now.After(l.signed.Certificate.NotAfter) {
			m.refresh(nil)
			return
		}
	}
}

// heard takes a packet from the peer through the tunnel.
func (l *link) heard(now time.Time) {
	l.lastRx, l.lastData, l.reset = now, now, false
	l.pulse.heard()
}
