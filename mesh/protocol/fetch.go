package protocol

import (
	"errors"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// fetch asks for what is wanted. Each member is asked apart: one that does not
// answer holds up nobody else.
func (m *Machine) fetch() {
	batches, next := m.fetchPlan()
	m.wants.next = time.Time{}
	if next > 0 {
		m.wants.next = m.now.Add(next)
	}
	for _, source := range sorted(batches) {
		names := slices.DeleteFunc(batches[source], func(n string) bool { return n == wantList })
		m.do(Fetch{From: source, To: m.links[source].signed.Grant.IP, Request: Request{
			Format: Format, From: m.grant.Node, Names: names, Numbered: m.roots.RevocationNumber(),
		}})
	}
}

// fetchPlan decides what to ask whom now, and when to look again (0: when
// something is wanted). Whom it names counts as asked until told otherwise.
func (m *Machine) fetchPlan() (batches map[string][]string, next time.Duration) {
	batches = map[string][]string{}
	var up []string
	for _, name := range m.names {
		if l := m.links[name]; (l.up() || l.live(m.now)) && !m.wants.asking[name] {
			up = append(up, name)
		}
	}
	for _, node := range slices.Clone(m.wants.order) {
		w := m.wants.byNode[node]
		wait := w.next.Sub(m.now)
		if wait <= 0 && (w.tries >= maxWantTries || w.asked >= maxAsks) {
			m.wants.drop(node)
			continue
		}
		if wait <= 0 {
			wait = m.batch(batches, up, node, w)
		}
		if next == 0 || wait < next {
			next = wait
		}
	}
	return batches, next
}

// batch puts a want into the batch of someone who may have it, and returns
// when to look at it again.
func (m *Machine) batch(batches map[string][]string, up []string, node string, w *want) time.Duration {
	source := w.turn
	switch {
	case source != "" && m.wants.asking[source]:
		return fetchEvery // it is busy, but not for long
	case !slices.Contains(up, source):
		source = m.pickSource(w.sources, up)
	}
	full := len(batches[source]) >= maxNames || len(batches[source]) == 0 && len(m.wants.asking) >= maxAsked
	if source == "" || full {
		return fetchEvery
	}
	w.turn = ""
	w.tries++
	w.asked++
	wait := fetchEvery << w.tries
	w.next = m.now.Add(wait)
	batches[source] = append(batches[source], node)
	m.wants.asking[source] = true
	return wait
}

// pickSource chooses whom to ask: one that has said to have it if it can be
// reached, else anybody.
func (m *Machine) pickSource(sources, up []string) string {
	known := slices.DeleteFunc(slices.Clone(sources), func(s string) bool { return !slices.Contains(up, s) })
	if len(known) == 0 {
		known = up
	}
	if len(known) == 0 {
		return ""
	}
	return known[m.rand.IntN(len(known))]
}

// apply implements Event.
func (e Fetched) apply(m *Machine) {
	delete(m.wants.asking, e.From)
	m.count(MetricFetches, result(e.Err))
	m.wants.look(m.now)
	if e.Err != nil {
		m.log.Debug("fetch", "peer", e.From, "err", e.Err)
		return
	}
	if len(e.Reply.Revocations) > 0 {
		m.heedList(e.Reply.Revocations, e.From)
		m.satisfy(wantList)
	}
	m.admit(e.Reply.Records, e.From, m.yield)
	m.setDevice()
}

// apply implements Event: what the other has and this node has not is fetched
// from it.
func (e SummaryReceived) apply(m *Machine) {
	s := e.Summary
	for _, name := range missing(m.Summary().Records, s.Records) {
		m.want(name, s.Records[name], s.From)
	}
	m.want(wantList, Digest{Version: s.Revocations}, s.From)
}

// heedList applies a revocation list that somebody hands out.
func (m *Machine) heedList(list []byte, source string) error {
	_, err := m.applyList(list, source)
	if err == nil || errors.Is(err, identity.ErrOutdated) {
		return nil
	}
	m.warn("revocation list refused", "source", source, "err", err)
	return err
}
