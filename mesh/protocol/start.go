package protocol

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

// apply implements Event. What is damaged or no longer valid of what was saved
// is dropped with a word: introducers can replace all of it.
func (e Start) apply(m *Machine) {
	m.restoreList(e.Saved.List)
	if _, err := m.roots.Verify(m.cfg.Certificate, m.now); err != nil {
		m.do(Started{fmt.Errorf("own certificate: %w", err)})
		return
	}
	m.version, m.where.observed, m.where.prefixes = e.Saved.Version, e.Saved.Observed, e.Addresses
	for _, p := range e.Saved.Peers {
		s, err := m.openRecord(p.Envelope)
		if err != nil {
			m.log.Debug("saved peer dropped", "err", err)
			continue
		}
		if s.Grant.Node == m.grant.Node {
			continue
		}
		m.book.add(s)
		if sendable(p.Endpoint, m.where.overlay) {
			m.learned[s.Grant.Node] = learned{p.Endpoint, s.Record.WireGuardKey}
		}
	}
	m.publish(standingHere, 0, func(err error) {
		if err != nil {
			m.do(Started{err})
			return
		}
		m.whenSet(func(err error) {
			if err != nil {
				err = fmt.Errorf("device: %w", err)
			}
			m.do(Started{err})
		})
	})
}

// restoreList puts the saved revocation list in force, unless the bundle brought
// a newer one: then that is saved.
func (m *Machine) restoreList(signed []byte) {
	brought := m.roots.Revocations()
	var err error
	if signed != nil {
		_, err = m.roots.Apply(signed)
	}
	// Once an authority is given up, so are its lists: the new one has signed
	// what they say.
	if err != nil && !errors.Is(err, identity.ErrOutdated) && (brought == nil || !errors.Is(err, identity.ErrUntrusted)) {
		m.log.Warn("saved revocation list dropped", "err", err)
	}
	if list := m.roots.Revocations(); list != nil && !bytes.Equal(list, signed) {
		m.saveList()
	}
}

// apply implements Event.
func (Opened) apply(m *Machine) {
	m.opened = true
	m.pace.tick, m.pace.looked = m.now.Add(m.timing.Tick), m.now
	m.joiner = joiner{next: m.now, backoff: firstRetry, lost: m.now.Add(lostIntroducers), pause: firstRetry, met: map[string]bool{}, handed: map[string]*handing{}}
	if len(m.links) > 0 {
		m.joiner.next = m.now.Add(m.timing.Introducers)
	}
	m.gossip.next = m.now
	m.found()
	m.wakeUp()
}

// apply implements Event.
func (e Leave) apply(m *Machine) {
	m.saver.off = true
	m.publish(standingLeft, 0, func(err error) {
		if err != nil {
			m.do(Done{ID: e.ID, Err: fmt.Errorf("leave: %w", err)})
			return
		}
		m.pushSelf(func(told []string) {
			m.log.Info("left the mesh", "told", len(told))
			m.do(Done{ID: e.ID, Told: len(told)})
		})
	})
}

// apply implements Event.
func (e Stop) apply(m *Machine) {
	m.publish(standingAway, 0, func(err error) {
		if err != nil {
			m.log.Warn("peers not told of the stop", "err", err)
			m.do(Done{ID: e.ID, Err: err})
			return
		}
		m.pushSelf(func(told []string) {
			m.log.Debug("away", "told", len(told))
			m.do(Done{ID: e.ID, Told: len(told)})
		})
	})
}
