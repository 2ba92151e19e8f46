package protocol

import "time"

// saver decides when what is to survive is written.
type saver struct {
	by       time.Time // what has changed of the peers is to be on disk; zero if nothing has
	earliest time.Time // the disk rests until then
	busy     bool      // peers are being written
	failed   bool      // and logged so
	off      bool      // this node has left: nothing is to be remembered

	listBusy  bool // the list is being written
	listAgain bool // and is to be written again
	listErr   error
	waiting   []func() // for the list
}

// due is when the peers are to be written; zero if not at all.
func (s *saver) due() time.Time {
	if s.by.IsZero() || s.busy {
		return time.Time{}
	}
	return laterOf(s.by, s.earliest)
}

// saveWithin has the peers saved within a time.
func (m *Machine) saveWithin(d time.Duration) {
	by := m.now.Add(d)
	if m.saver.by.IsZero() || by.Before(m.saver.by) {
		m.saver.by = by
	}
}

// save writes the peers, and the revocation list if that has failed before.
func (m *Machine) save() {
	m.saver.by = time.Time{}
	if m.saver.listErr != nil {
		m.saveList()
	}
	if m.saver.off {
		return // they were to be forgotten
	}
	m.saver.busy = true
	m.do(SavePeers{m.remembered()})
}

// remembered returns the peers as they are kept for the next run, sorted by name.
func (m *Machine) remembered() []Remembered {
	ps := make([]Remembered, 0, len(m.book.records))
	for _, name := range sorted(m.book.records) {
		s := m.book.records[name]
		r := Remembered{Envelope: s.Envelope, Endpoint: m.learned[name].with(s)}
		if l := m.links[name]; l != nil {
			r.Endpoint = l.learned
		}
		ps = append(ps, r)
	}
	return ps
}

// Saved returns all that is to be kept for the next run, as of now.
func (m *Machine) Saved() Saved {
	return Saved{Version: m.version, Observed: m.where.observed, List: m.roots.Revocations(), Peers: m.remembered()}
}

// ListUnsaved reports whether the revocation list in force could not be saved.
func (m *Machine) ListUnsaved() bool { return m.saver.listErr != nil }

// apply implements Event.
func (e PeersSaved) apply(m *Machine) {
	s := &m.saver
	s.busy = false
	s.earliest = m.now.Add(saveRest * e.Took)
	switch {
	case e.Err != nil && !s.failed:
		m.log.Error("peers not saved, trying on", "err", e.Err)
	case e.Err == nil && s.failed:
		m.log.Info("peers saved again")
	}
	s.failed = e.Err != nil
	if s.failed {
		m.saveWithin(saveRetry)
	}
}

// saveList writes the revocation list in force, and has the saver try again if
// that fails.
func (m *Machine) saveList() {
	if m.saver.listBusy {
		m.saver.listAgain = true
		return
	}
	m.saver.listBusy = true
	m.do(SaveList{m.roots.Revocations()})
}

// whenListSaved tells that the list in force is written, or could not be.
func (m *Machine) whenListSaved(then func()) {
	if !m.saver.listBusy {
		then()
		return
	}
	m.saver.waiting = append(m.saver.waiting, then)
}

// apply implements Event.
func (e ListSaved) apply(m *Machine) {
	s := &m.saver
	s.listBusy, s.listErr = false, e.Err
	if e.Err != nil {
		m.log.Error("revocation list not saved, trying on", "err", e.Err)
		m.saveWithin(saveRetry)
	}
	if s.listAgain {
		s.listAgain = false
		m.saveList()
		return
	}
	waiting := s.waiting
	s.waiting = nil
	for _, f := range waiting {
		f()
	}
}
