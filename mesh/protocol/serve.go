package protocol

import (
	"errors"
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// goodbye is a member's own leave, taken once its answer has arrived.
type goodbye struct {
	node     string
	envelope []byte
}

// apply implements Event: it does what a member asks. When the answer is sent,
// records that were pushed are in the device: it is their acknowledgement.
func (e RequestReceived) apply(m *Machine) {
	name, q := m.byIP[e.From], e.Request
	bye := m.takeGoodbye(name, &q)
	if bye != nil {
		m.goodbyes[e.ID] = goodbye{name, bye}
	}
	p := Reply{Format: Format}
	if len(q.Revocations) > 0 {
		if err := m.heedList(q.Revocations, name); err != nil {
			p.Error = "revocation list: " + err.Error()
		}
	}
	answer := func(err error) {
		if err != nil && len(q.Records) > 0 {
			p.Error = errDevice.Error()
		}
		p.Records = m.envelopes(q.Names)
		if q.Numbered < m.roots.RevocationNumber() {
			p.Revocations = m.roots.Revocations()
		}
		m.do(Answer{ID: e.ID, Reply: p, Lingers: bye != nil})
	}
	if len(q.Records) > 0 {
		m.admit(q.Records, name, m.letCall)
	}
	if len(q.Records) == 0 && len(q.Revocations) == 0 {
		answer(nil)
		return
	}
	m.whenSet(answer)
}

// letCall is how long a joiner whose record was pushed is left alone: it will
// call us itself. Behind a NAT we have to, as soon as it may know us.
func (m *Machine) letCall(node string) time.Duration {
	if s := m.book.records[node]; m.cfg.Repeats && natted(m.self.Record) && (s == nil || !m.near(s.Record)) {
		return m.timing.Acknowledge / 2
	}
	return m.timing.Acknowledge + m.yield(node)
}

// takeGoodbye takes the caller's own leave out of its request.
func (m *Machine) takeGoodbye(name string, q *Request) []byte {
	if len(q.Records) != 1 {
		return nil
	}
	s, err := m.openRecord(q.Records[0])
	if err != nil || s.Grant.Node != name || !s.Record.Left {
		return nil
	}
	bye := q.Records[0]
	q.Records = nil
	return bye
}

// apply implements Event: the member leaves the device.
func (e Answered) apply(m *Machine) {
	bye, ok := m.goodbyes[e.ID]
	if !ok {
		return
	}
	delete(m.goodbyes, e.ID)
	m.admit([][]byte{bye.envelope}, bye.node, m.yield)
	m.setDevice()
}

// envelopes returns the records of the named nodes, as far as they are known.
func (m *Machine) envelopes(names []string) [][]byte {
	var es [][]byte
	for _, n := range names {
		if s := m.book.records[n]; s != nil {
			es = append(es, s.Envelope)
		} else if n == m.grant.Node {
			es = append(es, m.self.Envelope)
		}
	}
	return es
}

// allEnvelopes returns every record, this node's own first.
func (m *Machine) allEnvelopes() [][]byte {
	es := [][]byte{m.self.Envelope}
	for _, name := range sorted(m.book.records) {
		es = append(es, m.book.records[name].Envelope)
	}
	return es
}

// apply implements Event: it takes a joiner's record, into the own device first,
// then to all members, and answers with everything the joiner needs.
func (e JoinerReceived) apply(m *Machine) {
	refuse := func(err error) {
		m.do(Answer{ID: e.ID, Reply: Reply{Format: Format, Error: err.Error()}, Refused: err})
	}
	s, err := m.judgeJoiner(e)
	if err != nil {
		refuse(err)
		return
	}
	node, q := s.Grant.Node, e.Request
	switch {
	case m.porch.founding.IsZero():
	case MayIntroduce(s.Grant):
		defer m.founded()
	default:
		m.porch.early = append(m.porch.early, e)
		return
	}
	if len(q.Records) > 1 {
		m.takeOver(q.Records[1:], node)
	}
	// Of one that is known the members know, too, or are about to. It calls again
	// for what it lacks.
	known := m.links[node] != nil && m.book.records[node].Hash == s.Hash
	m.admit(q.Records[:1], node, m.letCall)
	m.whenSet(func(err error) {
		if err != nil {
			refuse(errors.New("the introducer could not set its device"))
			return
		}
		if reason := m.clashes[node]; reason != "" {
			refuse(fmt.Errorf("%s: %w", reason, identity.ErrTaken))
			return
		}
		if known {
			m.do(Answer{ID: e.ID, Reply: m.welcomeReply([]string{m.grant.Node})})
			return
		}
		m.porch.waiting = append(m.porch.waiting, arrival{id: e.ID, at: m.now, node: node, envelope: q.Records[0]})
		m.welcome()
	})
}

// judgeJoiner decides whether a joiner is let in, and returns its record.
func (m *Machine) judgeJoiner(e JoinerReceived) (*identity.Signed, error) {
	q, name := e.Request, e.Certificate.Subject.CommonName
	if len(q.Revocations) > 0 {
		if _, err := m.applyList(q.Revocations, "joiner"); err != nil && !errors.Is(err, identity.ErrOutdated) {
			m.warn("revocation list refused", "source", name, "err", err)
		}
	}
	if len(q.Records) == 0 {
		return nil, fmt.Errorf("no record, want the joiner's: %w", ErrMalformed)
	}
	s, err := m.openRecord(q.Records[0])
	if err != nil {
		return nil, err
	}
	if !s.Certificate.Equal(e.Certificate) {
		return nil, fmt.Errorf("record of %s under the certificate of %s: %w", s.Grant.Node, name, identity.ErrGrant)
	}
	if s.Grant.Node == m.grant.Node {
		return nil, fmt.Errorf("%s is the introducer's own name: %w", s.Grant.Node, identity.ErrTaken)
	}
	if len(q.Records) > 1 && !MayIntroduce(s.Grant) {
		return nil, fmt.Errorf("%d records from %s, which does not introduce: %w", len(q.Records), name, identity.ErrGrant)
	}
	return s, nil
}
