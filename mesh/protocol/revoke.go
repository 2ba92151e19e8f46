package protocol

import (
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// pushFor bounds a push to everyone.
const pushFor = 5 * time.Second

// applyList puts a list in force and the device in line with it. Only then the
// list is spread or answered: the revoked node is gone here first.
func (m *Machine) applyList(signed []byte, source string) (changed bool, err error) {
	changed, err = m.roots.Apply(signed)
	verdict := "known"
	if err != nil {
		verdict = Fault(err)
	} else if changed {
		verdict = "new"
	}
	m.count(MetricLists, verdict)
	if err != nil || !changed {
		return false, err
	}
	m.saveList()
	m.log.Info("revocation list in force", "number", m.roots.RevocationNumber(), "source", source)
	if m.roots.Revoked(m.cfg.Certificate) {
		m.log.Error("this node's own certificate is revoked: it stops, and the others refuse it")
	}
	if m.self != nil { // else this node is about to start, with the list
		m.refresh(nil)
		m.setDevice()
	}
	return true, nil
}

// apply implements Event. The list in force again is no error.
func (e Revoke) apply(m *Machine) {
	if _, err := m.applyList(e.List, "operator"); err != nil {
		m.do(Done{ID: e.ID, Err: err})
		return
	}
	m.whenListSaved(func() {
		m.whenSet(func(error) {
			m.push(Request{Format: Format, From: m.grant.Node, Revocations: m.roots.Revocations()}, nil, pushFor, func(told []string) {
				var err error
				if m.saver.listErr != nil {
					err = fmt.Errorf("revocation list is in force, but not on disk yet: %w", m.saver.listErr)
				}
				m.do(Done{ID: e.ID, Told: len(told), Err: err})
			})
		})
	})
}

// endIfRevoked ends a node whose own certificate is revoked: up to a second
// later, so that whoever told it can be answered and others be told.
func (m *Machine) endIfRevoked() bool {
	if !m.roots.Revoked(m.cfg.Certificate) {
		return false
	}
	m.ended = true
	m.do(End{fmt.Errorf("own certificate: %w", identity.ErrRevoked)})
	return true
}
