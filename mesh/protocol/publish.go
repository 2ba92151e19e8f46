package protocol

import (
	"fmt"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// publisher makes this node's records, one at a time.
type publisher struct {
	present *publication // its version is being saved, nil if none is
	next    *publication // to be made after it
}

// publication is a record of this node in the making.
type publication struct {
	standing standing
	atLeast  uint64 // its version is higher
	then     []func(error)
}

// publish makes, signs and announces a new record of this node. The version is
// on disk before anyone sees it. It is at least the time in milliseconds, so
// that versions rise even where the state was lost, and above atLeast. then may
// be nil.
func (m *Machine) publish(st standing, atLeast uint64, then func(error)) {
	p := &publication{standing: st, atLeast: atLeast}
	if then != nil {
		p.then = append(p.then, then)
	}
	switch q := m.publisher.next; {
	case m.publisher.present == nil:
		m.begin(p)
	case q == nil:
		m.publisher.next = p
	default:
		q.standing, q.atLeast, q.then = max(q.standing, st), max(q.atLeast, atLeast), append(q.then, p.then...)
	}
}

func (m *Machine) begin(p *publication) {
	if m.self != nil && m.self.Record.Left && p.standing != standingLeft {
		p.end(nil) // whoever left stays so until the next start
		return
	}
	m.version = max(m.version+1, p.atLeast+1, uint64(max(0, m.now.UnixMilli())))
	m.publisher.present = p
	m.do(SaveRecord{Version: m.version, Observed: m.where.observed})
}

func (p *publication) end(err error) {
	for _, f := range p.then {
		f(err)
	}
}

// apply implements Event.
func (e RecordSaved) apply(m *Machine) {
	p := m.publisher.present
	if p == nil {
		return
	}
	if e.Err != nil {
		// The clock keeps versions rising; a full disk must not cut the node off.
		m.log.Error("own record's version not saved", "err", e.Err)
	}
	m.publisher.present = nil
	p.end(m.sign(p.standing))
	if q := m.publisher.next; q != nil && m.publisher.present == nil {
		m.publisher.next = nil
		m.begin(q)
	}
}

// sign makes the record and shows it.
func (m *Machine) sign(st standing) error {
	env, err := identity.SignRecord(identity.Record{
		Node: m.grant.Node, Version: m.version, Issued: m.now.UTC().Truncate(time.Millisecond),
		WireGuardKey: m.publicKey, Endpoints: m.where.endpoints(), Network: m.where.network,
		Introduce: m.where.introduceAddr(), Away: st == standingAway, Left: st == standingLeft,
	}, m.cfg.Key, m.cfg.Certificate)
	if err != nil {
		return fmt.Errorf("own record: %w", err)
	}
	s, err := m.openRecord(env)
	if err != nil {
		return fmt.Errorf("own record: %w", err)
	}
	m.self = s
	m.refresh(nil)
	if m.opened {
		m.notify()
		m.do(Announce{})
	}
	m.wakeUp()
	return nil
}

// renew publishes again where nobody waits for it.
func (m *Machine) renew(st standing, atLeast uint64) {
	m.publish(st, atLeast, func(err error) {
		if err != nil {
			m.log.Warn("own record not renewed", "err", err)
		}
	})
}

// apply implements Event: the record says where the host is now.
func (e AddressesRead) apply(m *Machine) {
	if e.Err != nil {
		m.log.Debug("own addresses unknown", "err", e.Err)
		return
	}
	m.where.prefixes = e.Addresses
	if m.self != nil && !slices.Equal(m.where.endpoints(), m.self.Record.Endpoints) {
		m.renew(standingHere, 0)
	}
}
