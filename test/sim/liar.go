package sim

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// liar is what makes a member malicious: it takes part as others do, with a
// valid certificate, and lies besides.
type liar struct {
	n       *Node
	version uint64 // of its last lie about itself
	silent  time.Duration
}

func newLiar(n *Node) *liar { return &liar{n: n} }

// lie has each liar do one bad thing, and plans the next ones.
func (w *World) lie() {
	w.collect()
	for _, n := range w.liars {
		if n.opened {
			n.liar.attack()
		}
	}
	w.after(time.Duration(500+w.rand.IntN(1500))*time.Millisecond, w.lie)
}

// collect takes what liars hear of others, to be replayed.
func (w *World) collect() {
	for _, n := range w.liars {
		if !n.opened {
			continue
		}
		for _, p := range n.machine.Saved().Peers {
			if len(w.seen) < 400 {
				w.seen = append(w.seen, p.Envelope)
			} else {
				w.seen[w.rand.IntN(len(w.seen))] = p.Envelope
			}
		}
	}
}

// attack does one of all bad things.
func (l *liar) attack() {
	w := l.n.w
	attacks := []struct {
		name string
		do   func(*liar)
	}{
		{"replay", (*liar).replay}, {"equivocate", (*liar).equivocate}, {"forge", (*liar).forge}, {"wrong CA", (*liar).wrongCA},
		{"expired", (*liar).expired}, {"summary", (*liar).invent}, {"wants", (*liar).ask}, {"digests", (*liar).digests},
		{"stolen key", (*liar).steal}, {"poison", (*liar).poisonous}, {"flood", (*liar).flood}, {"list", (*liar).oldList},
		{"forged list", (*liar).forgedList}, {"silent", (*liar).silence}, {"dead", (*liar).dead}, {"flap", (*liar).flap},
		{"introduce", (*liar).introduceLies},
	}
	a := attacks[w.rand.IntN(len(attacks))]
	w.log(l.n.name, "attack", a.name, 0)
	a.do(l)
}

// victim is an honest node whom the liar reaches, nil if it reaches none.
func (l *liar) victim() *Node {
	w := l.n.w
	for range 4 {
		m := w.nodes[w.rand.IntN(len(w.nodes))]
		if m.liar == nil && m.opened && w.passes(l.n, m) {
			return m
		}
	}
	return nil
}

// ask sends a request to a few honest nodes.
func (l *liar) push(q protocol.Request) {
	q.Format = protocol.Format
	for range 3 {
		if m := l.victim(); m != nil {
			l.n.exchange(m.ip(), q, requestTimeout, func(protocol.Reply, error) {})
		}
	}
}

// own signs a record of the liar itself.
func (l *liar) own(change func(*identity.Record)) []byte {
	n := l.n
	l.version = max(l.version+1, n.machine.Record().Record.Version+1)
	r := n.machine.Record().Record
	r.Version = l.version
	change(&r)
	env, err := identity.SignRecord(r, n.key, n.cert)
	if err != nil {
		return nil
	}
	return env
}

func (l *liar) replay() {
	w := l.n.w
	var envs [][]byte
	for range min(20, len(w.seen)) {
		envs = append(envs, w.seen[w.rand.IntN(len(w.seen))])
	}
	l.push(protocol.Request{Records: envs})
}

func (l *liar) equivocate() {
	v := l.own(func(*identity.Record) {})
	l.version--
	x := l.own(func(r *identity.Record) {
		switch l.n.w.rand.IntN(3) {
		case 0:
			r.Network = "elsewhere"
		case 1:
			r.WireGuardKey = identity.Bytes32(bytes32(l.n.w.rand))
		default:
			r.Left = true
		}
	})
	l.push(protocol.Request{Records: [][]byte{v}})
	l.push(protocol.Request{Records: [][]byte{x}})
}

func (l *liar) forge() {
	w := l.n.w
	if len(w.seen) == 0 {
		return
	}
	env := slices.Clone(w.seen[w.rand.IntN(len(w.seen))])
	env[w.rand.IntN(len(env))] ^= byte(1 + w.rand.IntN(255))
	l.push(protocol.Request{Records: [][]byte{env}})
}

// wrongCA speaks for a victim under the certificate of another authority, and
// claims a network, too.
func (l *liar) wrongCA() {
	w := l.n.w
	m := w.nodes[w.rand.IntN(len(w.nodes))]
	key := newKey(w.rand)
	cert, err := w.wrong.issue(key, identity.Grant{Node: m.name, IP: overlayIP(m.index), Routes: []netip.Prefix{netip.MustParsePrefix("172.16.0.0/12")}}, w.clock(), time.Hour)
	if err != nil {
		return
	}
	l.pushSigned(key, cert.Subject.CommonName, func(r identity.Record) ([]byte, error) { return identity.SignRecord(r, key, cert) })
}

// expired pushes a record under a certificate of the true authority whose time is over.
func (l *liar) expired() {
	w := l.n.w
	key := newKey(w.rand)
	cert, err := w.ca.issue(key, identity.Grant{Node: "old", IP: overlayIP(200)}, w.clock().Add(-48*time.Hour), time.Hour)
	if err != nil {
		return
	}
	l.pushSigned(key, "old", func(r identity.Record) ([]byte, error) { return identity.SignRecord(r, key, cert) })
}

func (l *liar) pushSigned(_ ed25519.PrivateKey, node string, sign func(identity.Record) ([]byte, error)) {
	r := identity.Record{Node: node, Version: 1 << 50, Issued: l.n.w.clock(), WireGuardKey: identity.Bytes32(bytes32(l.n.w.rand))}
	if env, err := sign(r); err == nil {
		l.push(protocol.Request{Records: [][]byte{env}})
	}
}

// invent tells of many nodes that do not exist.
func (l *liar) invent() {
	m := l.victim()
	if m == nil {
		return
	}
	s := protocol.Summary{From: l.n.name, Revocations: 1 << 40, Records: map[string]protocol.Digest{}}
	for i := range 60 { // each costs all honest nodes some requests
		s.Records[fmt.Sprintf("x%d", l.n.index*1000+i)] = protocol.Digest{Version: 1}
	}
	m.step(protocol.SummaryReceived{Summary: s})
}

// ask asks for as much as it may.
func (l *liar) ask() {
	names := make([]string, 256)
	for i := range names {
		names[i] = l.n.w.nodes[i%len(l.n.w.nodes)].name
	}
	l.push(protocol.Request{Names: names})
}

// digests says that there is something newer of everyone.
func (l *liar) digests() {
	m := l.victim()
	if m == nil {
		return
	}
	s := protocol.Summary{From: l.n.name, Records: map[string]protocol.Digest{}}
	for _, n := range l.n.w.nodes {
		s.Records[n.name] = protocol.Digest{Version: 1 << 60}
	}
	m.step(protocol.SummaryReceived{Summary: s})
}

// steal claims an honest node's WireGuard key.
func (l *liar) steal() {
	m := l.n.w.anyone()
	if m == nil {
		return
	}
	l.push(protocol.Request{Records: [][]byte{l.own(func(r *identity.Record) { r.WireGuardKey = identity.Bytes32(m.host.device.key) })}})
}

// poisonous names endpoints that spoil a device.
func (l *liar) poisonous() {
	l.push(protocol.Request{Records: [][]byte{l.own(func(r *identity.Record) {
		r.Endpoints = []identity.Endpoint{
			{Addr: poison, Kind: identity.KindPublic},
			{Addr: netip.AddrPortFrom(overlayIP(1+l.n.w.rand.IntN(20)), wgPort), Kind: identity.KindPublic},
			{Addr: netip.MustParseAddrPort("127.0.0.1:51820"), Kind: identity.KindPrivate},
			{Addr: l.n.w.seenAt(l.n.w.nodes[0].host), Kind: identity.KindPublic},
		}
	})}})
}

// flood sends echoes, with answers to questions that were not asked.
func (l *liar) flood() {
	m := l.victim()
	if m == nil {
		return
	}
	for i := range 50 {
		e := protocol.Echo{Kind: byte(1 + i%2), Nonce: l.n.w.rand.Uint64(), Meta: l.n.machine.Meta(), Revocations: uint64(i)}
		e.Meta.Digest.Version += uint64(i)
		l.n.w.deliver(m, protocol.EchoReceived{From: l.n.ip(), Echo: e})
	}
}

func (l *liar) oldList() {
	if lists := l.n.w.ca.lists; len(lists) > 0 {
		l.push(protocol.Request{Revocations: lists[l.n.w.rand.IntN(len(lists))]})
	}
}

// forgedList would revoke all honest nodes.
func (l *liar) forgedList() {
	w := l.n.w
	list := identity.RevocationList{Number: 1 << 30, Issued: w.clock()}
	for _, n := range w.nodes {
		list.Entries = append(list.Entries, identity.Revoked{Node: n.name, Serial: identity.SerialOf(n.cert), Expires: n.cert.NotAfter})
	}
	if b, err := w.wrong.ca.SignRevocations(list); err == nil {
		l.push(protocol.Request{Revocations: b})
	}
}

// silence answers nothing for a while.
func (l *liar) silence() { l.silent = l.n.w.now + l.n.w.seconds(1, 10) }

func (l *liar) withholds() bool { return l.n.w.now < l.silent }

// dead says in gossip that an honest node is dead, for ever: its name there is
// never taken again.
func (l *liar) dead() {
	w := l.n.w
	m := w.anyone()
	if m == nil {
		return
	}
	name := m.view.name
	for _, n := range w.nodes {
		if n != m && n.opened && w.passes(l.n, n) {
			n.view.dead[name] = true
			n.loses(name)
		}
	}
}

// flap leaves and comes back, as often as it likes.
func (l *liar) flap() {
	l.push(protocol.Request{Records: [][]byte{l.own(func(r *identity.Record) { r.Left = true })}})
	l.push(protocol.Request{Records: [][]byte{l.own(func(r *identity.Record) { r.Away = true })}})
}

// introduceLies asks an introducer to let in what it must not.
func (l *liar) introduceLies() {
	w := l.n.w
	other := w.introducerAt(w.introducers[w.rand.IntN(len(w.introducers))])
	if other == nil || !other.opened || len(w.seen) == 0 {
		return
	}
	other.lastID++
	other.step(protocol.JoinerReceived{ID: other.lastID, Certificate: l.n.cert, Request: protocol.Request{
		Format: protocol.Format, Records: [][]byte{w.seen[w.rand.IntN(len(w.seen))]},
	}})
}

// echo makes the liar's probes and answers lie now and then.
func (l *liar) echo(a protocol.SendEcho) protocol.Echo {
	e := a.Echo
	switch l.n.w.rand.IntN(20) {
	case 0:
		e.Meta.Digest.Version = 1 << 61
	case 1:
		e.Nonce++
	case 2:
		e.Revocations = 1 << 50
	}
	if l.n.w.rand.IntN(2) == 0 {
		e.Held = protocol.HeldNot
	}
	return e
}

// notice makes the liar's notices lie: with garbage, with what others once said.
func (l *liar) notice(n protocol.Notice) protocol.Notice {
	w := l.n.w
	switch w.rand.IntN(4) {
	case 0:
		n.Envelope = []byte("garbage")
	case 1:
		if len(w.seen) > 0 {
			n.Envelope = w.seen[w.rand.IntN(len(w.seen))]
		}
	}
	return n
}

// reply makes the liar's answers lie: with nothing, with garbage, with old ones.
func (l *liar) reply(p protocol.Reply) protocol.Reply {
	w := l.n.w
	switch w.rand.IntN(6) {
	case 0:
		p.Records, p.Revocations, p.Acknowledged = nil, nil, nil
	case 1:
		p.Records = append(slices.Clone(p.Records), []byte("garbage"), nil)
	case 2:
		if len(w.seen) > 0 {
			p.Records = [][]byte{w.seen[w.rand.IntN(len(w.seen))]}
		}
	}
	return p
}

// summary makes what the liar says that it has a lie now and then.
func (l *liar) summary(s protocol.Summary) protocol.Summary {
	if l.n.w.rand.IntN(3) == 0 {
		s.Revocations = 0
		clear(s.Records)
	}
	return s
}
