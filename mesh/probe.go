package mesh

import (
	"context"
	"net/netip"
	"time"
)

// takeEcho implements wireHandler. An echo also tells what its sender has of
// itself: a newer record or revocation list is fetched from it.
func (m *Mesh) takeEcho(from netip.Addr, e echo) {
	m.mu.Lock()
	name := m.byIP[from]
	l := m.links[name]
	if l == nil || m.wire == nil || e.meta.name != nameHash(name) {
		m.mu.Unlock()
		if l != nil && e.meta.name != nameHash(name) {
			m.refused("echo") // it speaks for another
		}
		return
	}
	now := m.now()
	l.lastRx = now
	if l.status.LastHandshake.IsZero() {
		m.cameUp = true // read the device: there has been one
	}
	cameUp := false
	switch e.kind {
	case echoAsk:
		m.wire.sendEcho(from, m.echoLocked(echoAnswer, e.nonce))
		if !l.up() && !l.signed.Record.Away {
			// It reaches us: ask back at once, whatever we were waiting for.
			l.quiet = now
			if l.nextAsk.Sub(now) > 0 && (l.askedN == 0 || now.Sub(l.asked[(l.askedN+3)%4].at) > m.timing.EchoRetry/4) {
				l.nextAsk = now
				notify(m.wake)
			}
		}
	case echoAnswer:
		was := l.up()
		if l.answered(e.nonce, now, m.echoEveryLocked()) && !was && l.up() {
			cameUp, m.cameUp = true, true
		}
	}
	m.heedLocked(name, e.meta.digest)
	m.mu.Unlock()
	if e.revocations > 0 {
		m.want(wantList, digest{version: e.revocations}, name)
	}
	if cameUp {
		notify(m.wake)
		notify(m.lonely)
	}
}

// echoLocked makes an echo that speaks for this node.
func (m *Mesh) echoLocked(kind byte, nonce uint64) echo {
	return echo{kind: kind, nonce: nonce, meta: metaOf(m.self), revocations: m.roots.RevocationNumber()}
}

// echoEveryLocked is the interval of probes to one peer: longer in a large mesh.
func (m *Mesh) echoEveryLocked() time.Duration {
	return max(m.timing.Echo, time.Duration(len(m.links))*20*time.Millisecond)
}

// tick moves every link to now, sets the device and sends the probes that are
// due. It is the one loop's body.
func (m *Mesh) tick(ctx context.Context, fresh bool) {
	if fresh || m.mustObserve() {
		m.observe()
	}
	m.mu.Lock()
	now := m.now()
	due := map[netip.Addr]echo{}
	for _, l := range m.links {
		if nonce, ok := l.step(now, m.timing, m.echoEveryLocked()); ok {
			due[l.signed.Grant.IP] = m.echoLocked(echoAsk, nonce)
		}
	}
	w := m.wire
	m.mu.Unlock()
	m.setDevice(ctx)
	if w != nil {
		for ip, e := range due {
			w.sendEcho(ip, e)
		}
	}
	m.report()
}

// mustObserve reports whether the device has to be read now: a peer has come
// up, or a link is about to try another address. Then it must be known whether
// the peer was heard meanwhile, or a handshake that has just succeeded would be
// thrown away.
func (m *Mesh) mustObserve() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if m.cameUp {
		m.cameUp = false
		return true
	}
	for _, l := range m.links {
		if l.trialDue(now, m.timing) {
			return true
		}
	}
	return false
}

// observe reads what the device knows.
func (m *Mesh) observe() {
	statuses, err := m.cfg.Device.Peers()
	if err != nil {
		m.log.Warn("device not read", "err", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	byKey := make(map[[32]byte]*link, len(m.links))
	for _, l := range m.links {
		byKey[l.signed.Record.WireGuardKey] = l
	}
	for _, s := range statuses {
		if l := byKey[s.PublicKey]; l != nil {
			l.observe(s, now)
			if sendable(s.Endpoint, m.where.overlay) && l.learn(now) {
				m.saveLocked(m.timing.Save)
			}
		}
	}
}

// report logs changes of state, counts and tells the user.
func (m *Mesh) report() {
	m.mu.Lock()
	now := m.now()
	counts := map[State]int{StateUp: 0, StateConnecting: 0, StateUnreachable: 0, StateAway: 0}
	news := false
	for name, l := range m.links {
		st, reason := l.state(now)
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
	m.mu.Unlock()
	for st, n := range counts {
		m.metrics.peers.WithLabelValues(string(st)).Set(float64(n))
	}
	m.metrics.revocations.Set(float64(m.roots.RevocationNumber()))
	if news {
		notify(m.changed)
	}
	if counts[StateUp] > 0 {
		m.becomeReady()
	}
}

func (m *Mesh) becomeReady() { m.readyOnce.Do(func() { close(m.ready) }) }
