package mesh

import (
	"context"
	"time"
)

const (
	// saveSoon is how long news of who is in the mesh are collected before they
	// are saved: a node that is killed must still know whom to call.
	saveSoon = 50 * time.Millisecond
	// saveRest is how many times as long as a save took the next one waits, so
	// that a slow disk or a mass join costs a tenth of the time at most.
	saveRest = 10
	// saveRetry is when a save that failed is tried again.
	saveRetry = 15 * time.Second
)

// saveLocked has the peers saved within a time.
func (m *Mesh) saveLocked(within time.Duration) {
	by := m.now().Add(within)
	if m.saveBy.IsZero() || by.Before(m.saveBy) {
		m.saveBy = by
		notify(m.unsaved)
	}
}

// saveLoop writes the peers to disk when it is time, until ctx ends. It is
// apart from the loop that probes: a disk may hang.
func (m *Mesh) saveLoop(ctx context.Context) {
	var earliest time.Time
	for {
		m.mu.Lock()
		by := m.saveBy
		m.mu.Unlock()
		var due <-chan time.Time
		if !by.IsZero() {
			due = time.After(laterOf(by, earliest).Sub(m.now()))
		}
		select {
		case <-ctx.Done():
			return
		case <-m.unsaved:
		case <-due:
			began := m.now()
			m.save()
			earliest = m.now().Add(saveRest * m.now().Sub(began))
		}
	}
}

// saveList writes the revocation list in force to disk, and has the saver try
// again if that fails.
func (m *Mesh) saveList() {
	err := m.store.saveRevocations(m.roots.Revocations())
	if err != nil {
		m.log.Error("revocation list not saved, trying on", "err", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listUnsaved = err
	if err != nil {
		m.saveLocked(saveRetry)
	}
}

// save writes the peers to disk, and the revocation list if that has failed before.
func (m *Mesh) save() {
	m.mu.Lock()
	unsaved := m.listUnsaved != nil
	m.mu.Unlock()
	if unsaved {
		m.saveList()
	}
	m.saveMu.Lock()
	defer m.saveMu.Unlock()
	m.mu.Lock()
	m.saveBy = time.Time{}
	if m.leaving {
		m.mu.Unlock()
		return // they were to be forgotten
	}
	ps := m.rememberedLocked()
	m.mu.Unlock()
	err := m.store.savePeers(ps)
	switch {
	case err != nil && !m.saveFailed:
		m.log.Error("peers not saved, trying on", "err", err)
	case err == nil && m.saveFailed:
		m.log.Info("peers saved again")
	}
	m.saveFailed = err != nil
	if err != nil {
		m.mu.Lock()
		m.saveLocked(saveRetry)
		m.mu.Unlock()
	}
}

// rememberedLocked returns the peers as they are kept for the next run.
func (m *Mesh) rememberedLocked() []remembered {
	ps := make([]remembered, 0, len(m.book.records))
	for name, s := range m.book.records {
		r := remembered{Envelope: s.Envelope, Endpoint: m.learned[name]}
		if l := m.links[name]; l != nil {
			r.Endpoint = l.learned
		}
		ps = append(ps, r)
	}
	return ps
}
