package protocol

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// joiner decides when introducers are called.
type joiner struct {
	next    time.Time // to look whether they must be; zero while they are called
	wait    time.Duration
	backoff time.Duration
	lost    time.Time // from then on those are called that do not answer
	why     calling   // of the present call

	handed map[string]*handing // by introducer
	met    map[string]bool     // introducers that have answered as strangers
	meet   time.Time           // not before
	pause  time.Duration       // between two such calls
}

// calling is why introducers are called.
type calling int

const (
	callingIn    calling = iota // nobody else can be reached
	callingLost                 // they are members and do not answer
	callingUnmet                // this node has never met them
)

// join calls introducers whenever nobody else can be reached: at the start if
// no remembered peer answers, and later if all are lost. With others in reach
// it calls those introducers that are not, now and then: one that has lost its
// memory knows nobody whom it could call itself. And it calls those that it has
// never met.
func (m *Machine) join() {
	j := &m.joiner
	j.wait = m.timing.Introducers*4 + m.upTo(m.timing.Introducers)
	j.next = m.now.Add(j.wait)
	if m.anyoneUp() {
		j.backoff = firstRetry
		m.callFew()
		return
	}
	addrs := m.introducers()
	if len(addrs) == 0 {
		if m.cfg.Introduce != "" {
			m.becomeReady() // the first one here
		} else if len(m.links) == 0 {
			m.warn("nobody to join: the bundle names no introducer, and no peer is remembered")
		}
		return
	}
	m.call(addrs, callingIn)
}

func (m *Machine) call(addrs []string, why calling) {
	m.joiner.next, m.joiner.why = time.Time{}, why
	m.do(CallIntroducers{Addrs: addrs, Each: why == callingUnmet})
}

// callFew calls the introducers among the members that do not answer, if it is
// time, and then those that this node has never met.
func (m *Machine) callFew() {
	if m.now.Before(m.joiner.lost) {
		m.callUnmet()
		return
	}
	addrs := m.introducersThat(func(l *link) bool { state, _ := l.state(m.now); return state == StateUnreachable })
	if len(addrs) == 0 {
		m.joiner.lost = m.now.Add(lostIntroducers + m.upTo(lostIntroducers))
		m.callUnmet()
		return
	}
	m.call(addrs, callingLost)
}

// callUnmet calls the introducers of the bundle that this node has not met, if
// it is time: all at once, and twice as rarely each time.
func (m *Machine) callUnmet() {
	j := &m.joiner
	addrs := m.unmet()
	switch {
	case len(addrs) == 0:
		j.pause = firstRetry
	case m.now.Before(j.meet):
		j.wait = min(j.wait, j.meet.Sub(m.now))
	default:
		m.call(addrs, callingUnmet)
		return
	}
	j.next = m.now.Add(j.wait)
}

// unmet returns those introducers of the bundle that this node has not spoken
// to and that are not among the members, however many others it can reach. Two
// introducers that start at the same moment do not find each other, and nobody
// else joins those who came through the one with those who came through the
// other. And until somebody has told this node at which address it is seen, even
// members are called: one that only others came to does not know its own public
// address behind a NAT.
func (m *Machine) unmet() []string {
	var members []string
	if m.where.observed.IsValid() && len(m.joiner.handed) == 0 {
		members = m.introducersThat(func(*link) bool { return true })
	}
	return slices.DeleteFunc(slices.Clone(m.cfg.Introducers), func(a string) bool {
		return m.joiner.met[a] && len(m.joiner.handed) == 0 || slices.Contains(members, a) || m.isSelf(a)
	})
}

// apply implements Event.
func (e CallEnded) apply(m *Machine) {
	j := &m.joiner
	switch {
	case j.why == callingLost:
		j.lost = m.now.Add(lostIntroducers + m.upTo(lostIntroducers))
		if e.Err != nil {
			m.log.Debug("introducers not reached", "err", e.Err) // they are down
		}
		m.callUnmet()
		return
	case j.why == callingUnmet:
		m.meet(e)
	case e.Err != nil:
		m.notLetIn(e.Err)
	case len(m.unmet()) > 0 && m.cfg.Introduce != "":
		j.wait = m.timing.Introducers / 2 // somebody will be up by then
	case len(m.unmet()) > 0: // the introducers meet each other first, and tell us
		j.wait = m.timing.Introducers + m.upTo(m.timing.Introducers)
	}
	j.next = m.now.Add(j.wait)
}

// meet takes the result of a call to introducers that were not met.
func (m *Machine) meet(e CallEnded) {
	j := &m.joiner
	if e.Err != nil {
		m.log.Debug("introducers not reached", "err", e.Err)
	}
	for _, a := range e.Met {
		j.met[a] = true
	}
	if len(e.Met) == 0 {
		clear(j.handed)
	}
	wait := j.pause + m.upTo(j.pause)
	j.pause = min(2*j.pause, lastRetry)
	j.meet = m.now.Add(wait)
	j.wait = min(j.wait, wait)
}

// notLetIn has introducers called again, ever more rarely.
func (m *Machine) notLetIn(err error) {
	j := &m.joiner
	if m.cfg.Introduce == "" || len(m.links) > 0 {
		m.log.Warn("no introducer let this node in", "err", err)
	}
	if m.cfg.Introduce != "" {
		m.becomeReady() // others may come to this one
	}
	j.wait = j.backoff + m.upTo(j.backoff)
	j.backoff = min(2*j.backoff, lastRetry)
}

// apply implements Event: the record that the introducer gets names the address
// that it sees, where that leads back here, so that everyone has a way to this
// node from the start.
func (e Greeted) apply(m *Machine) {
	ask := func() {
		handover, list := m.handover(), m.roots.Revocations()
		if len(handover) > 0 {
			list = nil // both may be more than a request holds
		}
		m.do(Introduce{Call: e.Call, Request: Request{
			Format: Format, From: m.grant.Node, Records: append([][]byte{m.self.Envelope}, handover...), Revocations: list,
		}})
	}
	a := e.Observed.Unmap()
	news := UsableAddr(a) && a != m.where.observed && !contains(m.where.overlay, a)
	if news {
		m.where.observed = a
	}
	if !news || slices.Equal(m.where.endpoints(), m.self.Record.Endpoints) {
		ask()
		return
	}
	m.publish(standingHere, 0, func(err error) {
		if err != nil {
			m.log.Warn("own record not renewed", "err", err)
		}
		ask()
	})
}

// apply implements Event. Who has programmed us may be called at once; the
// others may not know us yet, and a handshake they drop would be repeated only
// after 5 s.
func (e Introduced) apply(m *Machine) {
	if len(e.Reply.Revocations) > 0 {
		_ = m.heedList(e.Reply.Revocations, e.By) // it has said so
	}
	got := m.admit(e.Reply.Records, e.By, func(node string) time.Duration {
		if slices.Contains(e.Reply.Acknowledged, node) {
			return 0
		}
		return m.timing.Acknowledge + m.yield(node)
	})
	m.log.Info("introduced", "introducer", e.By, "members", len(e.Reply.Records), "acknowledged", len(e.Reply.Acknowledged))
	m.merge(e.By, got)
	m.founded()
	m.wakeUp()
}

func (m *Machine) anyoneUp() bool {
	for _, l := range m.links {
		if l.up() {
			return true
		}
	}
	return false
}

// introducersThat returns where those of the members introduce whose link is
// so, without this node's own address.
func (m *Machine) introducersThat(is func(*link) bool) (addrs []string) {
	for _, name := range m.names {
		l := m.links[name]
		r := l.signed.Record
		if r.Introduce != "" && !r.Away && MayIntroduce(l.signed.Grant) && identity.ParseHostPort(r.Introduce) == nil && is(l) {
			addrs = append(addrs, r.Introduce)
		}
	}
	return slices.DeleteFunc(addrs, m.isSelf)
}

// MayIntroduce reports whether a grant allows a node to introduce others.
func MayIntroduce(g identity.Grant) bool {
	return g.Has(identity.RoleIntroducer) || g.Has(identity.RoleServer)
}

// introducers returns where to call, without this node's own: the bundle's, and
// those that peers name. The bundle's come in its order: when all nodes of a mesh
// start at once they knock at one door, and do not begin as several networks.
func (m *Machine) introducers() []string {
	named := m.introducersThat(func(*link) bool { return true })
	m.rand.Shuffle(len(named), func(i, j int) { named[i], named[j] = named[j], named[i] })
	var addrs []string
	for _, a := range slices.Concat(m.cfg.Introducers, named) {
		if !slices.Contains(addrs, a) && !m.isSelf(a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// isSelf reports whether an introducer's address is this node's own.
func (m *Machine) isSelf(addr string) bool {
	host, port := splitHostPort(addr)
	_, own := splitHostPort(m.cfg.Introduce)
	if m.cfg.Introduce == "" || port != own || host == "" {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	return a.IsLoopback() || slices.Contains(m.cfg.Advertise, a) ||
		slices.ContainsFunc(m.where.prefixes, func(p netip.Prefix) bool { return p.Addr() == a.Unmap() })
}

// splitHostPort takes HOST:PORT apart; the port is 0 if it is none.
func splitHostPort(s string) (host string, port uint16) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return "", 0
	}
	return strings.Trim(s[:i], "[]"), uint16(n)
}
