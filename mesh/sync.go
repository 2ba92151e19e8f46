package mesh

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/identity"
)

// isMember implements wireHandler.
func (m *Mesh) isMember(a netip.Addr) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.byIP[a]
	return ok || a == m.grant.IP || a == m.grant.IP6
}

// refused implements wireHandler: it counts what was refused in the tunnel.
func (m *Mesh) refused(reason string) { m.metrics.refused.WithLabelValues(reason).Inc() }

// stays reports whether a node is to be in the mesh, whatever gossip says.
func (m *Mesh) stays(node string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[node]
	return l != nil && !l.signed.Record.Away
}

// serve implements wireHandler: it answers one request of a member.
func (m *Mesh) serve(ctx context.Context, conn net.Conn, from netip.Addr) {
	m.mu.Lock()
	name := m.byIP[from]
	m.mu.Unlock()
	q, done, err := m.bulk.read(ctx, conn, name)
	if err != nil {
		m.refused("request")
		m.log.Debug("request refused", "peer", name, "err", err)
		return
	}
	defer done()
	goodbye := m.takeGoodbye(name, &q)
	p := m.answer(ctx, name, q)
	if err := conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return
	}
	if err := writeFrame(conn, p, maxReply); err != nil {
		m.log.Debug("answer not sent", "peer", name, "err", err)
	}
	if len(goodbye) > 0 { // it leaves the device, so let the answer arrive first
		if err := conn.SetDeadline(time.Now().Add(awayBudget)); err == nil {
			_, _ = conn.Read(make([]byte, 1)) // until the other closes, or the deadline
		}
		m.admit(goodbye, name, m.yield)
		m.setDevice(ctx)
	}
}

// takeGoodbye takes the caller's own leave out of its request.
func (m *Mesh) takeGoodbye(name string, q *request) [][]byte {
	if len(q.Records) != 1 {
		return nil
	}
	s, err := m.roots.OpenRecord(q.Records[0], m.now())
	if err != nil || s.Grant.Node != name || !s.Record.Left {
		return nil
	}
	goodbye := q.Records
	q.Records = nil
	return goodbye
}

// answer does what a member asks. When it returns, records that were pushed
// are in the device: the answer is their acknowledgement.
func (m *Mesh) answer(ctx context.Context, name string, q request) reply {
	p := reply{Format: format}
	if len(q.Revocations) > 0 {
		if err := m.applyRevocations(ctx, q.Revocations, name); err != nil && !errors.Is(err, identity.ErrOutdated) {
			m.warn("revocation list refused", "source", name, "err", err)
			p.Error = "revocation list: " + err.Error()
		}
	}
	if len(q.Records) > 0 {
		// A joiner whose record is pushed will call us itself.
		m.admit(q.Records, name, func(string) time.Duration { return 2 * m.timing.Acknowledge })
		if err := m.apply(ctx); err != nil {
			p.Error = "device not set"
		}
	}
	p.Records = m.envelopes(q.Names)
	if q.Numbered < m.roots.RevocationNumber() {
		p.Revocations = m.roots.Revocations()
	}
	return p
}

// envelopes returns the records of the named nodes, as far as they are known.
func (m *Mesh) envelopes(names []string) [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
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
func (m *Mesh) allEnvelopes() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	es := [][]byte{m.self.Envelope}
	for _, s := range m.book.records {
		es = append(es, s.Envelope)
	}
	return es
}

// spreadSelf hands this node's record to everyone who can be reached, within
// about a second, and returns how many have it.
func (m *Mesh) spreadSelf(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, awayBudget)
	defer cancel()
	m.mu.Lock()
	env := m.self.Envelope
	m.mu.Unlock()
	return len(m.spread(ctx, request{Format: format, From: m.grant.Node, Records: [][]byte{env}}, ""))
}

// spread sends a request to every member that can be reached, save one, and
// returns who has answered it before ctx ended.
func (m *Mesh) spread(ctx context.Context, q request, except string) []string {
	m.mu.Lock()
	w, now := m.wire, m.now()
	to := map[string]netip.Addr{}
	for name, l := range m.links {
		if name != except && (l.up() || l.live(now) && !l.signed.Record.Away) {
			to[name] = l.signed.Grant.IP
		}
	}
	m.mu.Unlock()
	if w == nil {
		return nil
	}
	var mu sync.Mutex // guards done
	var done []string
	var g errgroup.Group
	g.SetLimit(pushWorkers)
	for name, ip := range to {
		g.Go(func() error {
			if _, err := w.exchange(ctx, ip, q); err != nil {
				m.log.Debug("push", "peer", name, "err", err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			done = append(done, name)
			return nil
		})
	}
	_ = g.Wait() // the functions return no error
	slices.Sort(done)
	return done
}

// want is a record, or a revocation list, that is known to exist elsewhere.
type want struct {
	digest  digest
	sources []string // nodes that have it
	tries   int
	next    time.Time
}

// wantList is the key under which the revocation list is wanted: no node's name.
const wantList = ""

// want notes that a node, perhaps unknown, has a record that differs from ours.
// Whoever says so only costs a bounded number of fetches.
func (m *Mesh) want(node string, d digest, source string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hasLocked(node, d) {
		return
	}
	w := m.wants[node]
	if w == nil {
		if m.book.records[node] == nil && node != wantList && len(m.wants) >= maxWanted && !m.dropWantLocked() {
			return
		}
		w = &want{}
		m.wants[node] = w
	}
	if d.version > w.digest.version {
		w.digest, w.tries = d, 0
	}
	if !slices.Contains(w.sources, source) && len(w.sources) < 4 {
		w.sources = append(w.sources, source)
	}
	if !w.next.After(m.now()) {
		notify(m.fetch)
	}
}

// heedLocked notes what a node has itself told of its record, through the
// tunnel: whatever others have said of it meanwhile gives way.
func (m *Mesh) heedLocked(node string, d digest) {
	if m.hasLocked(node, d) {
		return
	}
	next := m.now()
	w := m.wants[node]
	if w != nil {
		if w.digest == d && slices.Equal(w.sources, []string{node}) {
			return
		}
		if paced := next.Add(fetchEvery); w.tries > 0 && w.next.After(next) {
			next = paced
			if w.next.Before(paced) {
				next = w.next
			}
		}
	}
	m.wants[node] = &want{digest: d, sources: []string{node}, next: next}
	if w == nil || next.Before(w.next) { // else the fetcher looks then anyway
		notify(m.fetch)
	}
}

// dropWantLocked makes room by a record of an unknown node that was asked for
// in vain, if there is one among some.
func (m *Mesh) dropWantLocked() bool {
	looked := 0
	for node, w := range m.wants {
		if node != wantList && m.book.records[node] == nil && w.tries > 0 {
			delete(m.wants, node)
			return true
		}
		if looked++; looked == 16 {
			break
		}
	}
	return false
}

// hasLocked reports whether what a digest stands for is of no interest.
func (m *Mesh) hasLocked(node string, d digest) bool {
	if node == wantList {
		return m.roots.RevocationNumber() >= d.version
	}
	have, ok := digest{}, false
	if node == m.grant.Node {
		have, ok = digestOf(m.self), true
	} else if s := m.book.records[node]; s != nil {
		have, ok = digestOf(s), true
	}
	return ok && (have.version > d.version || have == d || m.conflicts[node] == d)
}

// satisfyLocked drops the want for a node's record if it is here now.
func (m *Mesh) satisfyLocked(node string) {
	if w := m.wants[node]; w != nil && m.hasLocked(node, w.digest) {
		delete(m.wants, node)
	}
}

// fetchLoop gets what is wanted until ctx ends. Each member is asked apart: one
// that does not answer holds up nobody else.
func (m *Mesh) fetchLoop(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		batches, next := m.fetchPlan()
		for source, names := range batches {
			wg.Go(func() {
				m.fetchFrom(ctx, source, names)
				m.mu.Lock()
				delete(m.asking, source)
				m.mu.Unlock()
				notify(m.fetch)
			})
		}
		var timer <-chan time.Time
		if next > 0 {
			timer = time.After(next)
		}
		select {
		case <-ctx.Done():
		case <-m.fetch:
		case <-timer:
		}
	}
}

// fetchPlan decides what to ask whom now, and when to look again (0: when
// something is wanted). Whom it names counts as asked until told otherwise.
func (m *Mesh) fetchPlan() (batches map[string][]string, next time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	batches = map[string][]string{}
	var up []string
	for name, l := range m.links {
		if (l.up() || l.live(now)) && !m.asking[name] {
			up = append(up, name)
		}
	}
	for node, w := range m.wants {
		wait := w.next.Sub(now)
		if wait <= 0 && w.tries >= maxWantTries {
			delete(m.wants, node)
			continue
		}
		if wait <= 0 {
			wait = m.batchLocked(batches, up, node, w)
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	return batches, next
}

// batchLocked puts a want into the batch of someone who may have it, and returns
// when to look at it again.
func (m *Mesh) batchLocked(batches map[string][]string, up []string, node string, w *want) time.Duration {
	source := pickSource(w.sources, up)
	full := len(batches[source]) >= maxNames || len(batches[source]) == 0 && len(m.asking) >= maxAsked
	if source == "" || full {
		return fetchEvery
	}
	w.tries++
	wait := fetchEvery << w.tries
	w.next = m.now().Add(wait)
	batches[source] = append(batches[source], node)
	m.asking[source] = true
	return wait
}

// pickSource chooses whom to ask: one that has said to have it if it can be
// reached, else anybody.
func pickSource(sources, up []string) string {
	known := slices.DeleteFunc(slices.Clone(sources), func(s string) bool { return !slices.Contains(up, s) })
	if len(known) == 0 {
		known = up
	}
	if len(known) == 0 {
		return ""
	}
	return known[rand.IntN(len(known))]
}

// fetchFrom asks one member for records, and for its revocation list if newer.
func (m *Mesh) fetchFrom(ctx context.Context, source string, names []string) {
	m.mu.Lock()
	l, w := m.links[source], m.wire
	m.mu.Unlock()
	if l == nil || w == nil {
		return
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == wantList })
	p, err := w.exchange(ctx, l.signed.Grant.IP, request{
		Format: format, From: m.grant.Node, Names: names, Numbered: m.roots.RevocationNumber(),
	})
	m.metrics.fetches.WithLabelValues(result(err)).Inc()
	if err != nil {
		m.log.Debug("fetch", "peer", source, "err", err)
		return
	}
	if len(p.Revocations) > 0 {
		if err := m.applyRevocations(ctx, p.Revocations, source); err != nil && !errors.Is(err, identity.ErrOutdated) {
			m.warn("revocation list refused", "source", source, "err", err)
		}
		m.mu.Lock()
		m.satisfyLocked(wantList)
		m.mu.Unlock()
	}
	m.admit(p.Records, source, m.yield)
	m.setDevice(ctx)
}
