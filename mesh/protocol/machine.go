package protocol

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// GossipPort is the port on every node's overlay address, UDP and TCP, where
// members gossip, exchange records and probe each other: inside the tunnel only.
const GossipPort = 7946

// Config is what a machine is made of.
type Config struct {
	Roots       *identity.Roots // whom to trust; the machine puts revocation lists in force there
	Certificate *x509.Certificate
	Key         ed25519.PrivateKey // the certificate's
	Introducers []string           // HOST:PORT
	PrivateKey  overlay.Key        // WireGuard's
	Port        int                // WireGuard's UDP port
	MTU         int                // of the interface, in bytes; 0 means the device's default

	Introduce         string       // ADDR:PORT to introduce others on; empty means not to
	Advertise         []netip.Addr // public addresses of this node
	AdvertiseObserved bool         // the address that an introducer sees leads back here, port by port
	Network           string       // id of the private network this node is in

	Repeats bool // the device repeats a handshake that is not answered, before WireGuard would

	Boot   string     // makes this start's name in gossip unlike all others: 1 to 16 characters
	Timing Timing     // zero fields mean the defaults
	Rand   *rand.Rand // all chance; nonces of probes should not be foreseen

	// Open verifies an envelope as [identity.Roots.OpenRecord] of Roots does; nil
	// means that. Whoever runs many machines in one process may have each envelope
	// verified once.
	Open func(roots *identity.Roots, envelope []byte, now time.Time) (*identity.Signed, error)
}

// Machine is one node's part in the mesh. Make it with [New].
type Machine struct {
	cfg       Config
	roots     *identity.Roots
	grant     identity.Grant
	publicKey [32]byte // WireGuard's
	timing    Timing
	rand      *rand.Rand
	log       logger

	// Of the present step.
	now time.Time
	out []Action

	opened bool // packets can be sent
	ready  bool
	ended  bool
	lastID uint64 // of pushes

	self      *identity.Signed
	version   uint64 // of self or of the one being published, or the last one on disk
	where     whereabouts
	publisher publisher
	book      *book
	links     map[string]*link // of everyone in the device, by node
	names     []string         // of links, sorted
	byIP      map[netip.Addr]string
	learned   map[string]learned   // where peers answered in the last run
	clashes   map[string]string    // last logged, by node
	contested map[string]bool      // nodes whose WireGuard key others claim, too
	doubted   map[string]time.Time // when they have had their turn, see contest
	turns     map[string]turn      // of those who are in the device, see contest
	began     time.Time
	conflicts map[string]Digest // of records refused as conflicts, by node
	states    map[string]State  // last reported, by node
	gauge     Gauge             // last reported
	device    device
	pace      pace
	wants     wants
	saver     saver
	joiner    joiner
	porch     porch
	debts     map[string]*debt // by member
	gossip    gossip
	eviction  eviction
	sightings sightings
	gone      map[string]error // who was taken out since the start, and why
	pushes    map[uint64]func(acknowledged []string)
	goodbyes  map[uint64]goodbye
}

// New makes a machine as of now. The error says what is wrong with the
// configuration.
func New(cfg Config, now time.Time) (*Machine, error) {
	key, err := ecdh.X25519().NewPrivateKey(cfg.PrivateKey[:])
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	grant, err := cfg.Roots.Verify(cfg.Certificate, now)
	if err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	m := &Machine{
		cfg: cfg, roots: cfg.Roots, grant: grant, publicKey: [32]byte(key.PublicKey().Bytes()),
		timing: cfg.Timing.WithDefaults(), rand: cfg.Rand, now: now,
		book: newBook(), links: map[string]*link{}, byIP: map[netip.Addr]string{}, learned: map[string]learned{},
		clashes: map[string]string{}, doubted: map[string]time.Time{}, turns: map[string]turn{}, began: now, conflicts: map[string]Digest{}, states: map[string]State{},
		wants: newWants(), gossip: newGossip(cfg.Boot), eviction: eviction{held: map[string]bool{}}, pushes: map[uint64]func([]string){}, goodbyes: map[uint64]goodbye{},
		gone: map[string]error{}, debts: map[string]*debt{},
	}
	m.log = logger{m}
	mesh := cfg.Roots.Mesh()
	m.where = whereabouts{
		port: cfg.Port, overlay: []netip.Prefix{mesh.CIDR, mesh.CIDR6}, advertise: cfg.Advertise,
		mapped: cfg.AdvertiseObserved, network: cfg.Network, introduce: cfg.Introduce,
	}
	return m, nil
}

// Step takes an event at a time, and returns what is to be done.
func (m *Machine) Step(now time.Time, e Event) []Action {
	m.now, m.out = now, nil
	if !m.ended {
		e.apply(m)
		m.settle()
	}
	out := m.out
	m.out = nil
	return out
}

// settle does what has become due by an event.
func (m *Machine) settle() {
	if !m.opened {
		return
	}
	if m.pace.wake {
		m.turnSoon()
	}
	if m.wants.due(m.now) {
		m.fetch()
	}
}

// Next is when [Tick] is due; zero if not at all.
func (m *Machine) Next() time.Time {
	if !m.opened || m.ended {
		return time.Time{}
	}
	next := m.pace.tick
	for _, t := range []time.Time{m.pace.owed, m.wants.next, m.saver.due(), m.joiner.next, m.gossip.next, m.porch.open(), m.porch.founding} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// apply implements Event.
func (Tick) apply(m *Machine) {
	if !m.opened {
		return
	}
	due := func(t time.Time) bool { return !t.IsZero() && !m.now.Before(t) }
	if due(m.pace.tick) {
		m.pace.tick = m.now.Add(m.timing.Tick)
		m.pace.wake = true
	}
	if due(m.saver.due()) {
		m.save()
	}
	if due(m.joiner.next) {
		m.join()
	}
	if due(m.gossip.next) {
		m.joinGossip()
	}
	if due(m.porch.founding) {
		m.founded()
	}
	if due(m.porch.open()) {
		m.welcome()
	}
}

// Grant returns what this node's certificate allows it.
func (m *Machine) Grant() identity.Grant { return m.grant }

// Record returns this node's own record, nil before [Started].
func (m *Machine) Record() *identity.Signed { return m.self }

// Peers returns every other node in the device as of a time, sorted by name.
func (m *Machine) Peers(now time.Time) []Peer {
	ps := make([]Peer, 0, len(m.names))
	for _, name := range m.names {
		ps = append(ps, m.links[name].peer(now))
	}
	return ps
}

// IsMember reports whether the overlay address belongs to a member or to this node.
func (m *Machine) IsMember(a netip.Addr) bool {
	_, ok := m.byIP[a]
	return ok || a == m.grant.IP || a == m.grant.IP6
}

// NodeAt returns the name of the member with an overlay address, "" if nobody's.
func (m *Machine) NodeAt(a netip.Addr) string { return m.byIP[a] }

// Meta returns what gossip carries for this node.
func (m *Machine) Meta() Meta { return metaOf(m.self) }

// Summary returns what this node has of everyone.
func (m *Machine) Summary() Summary {
	s := Summary{From: m.grant.Node, Revocations: m.roots.RevocationNumber(), Records: m.book.digests()}
	s.Records[m.grant.Node] = digestOf(m.self)
	return s
}

// do adds an action to the step's.
func (m *Machine) do(a Action) { m.out = append(m.out, a) }

func (m *Machine) count(metric Metric, label string) { m.do(Count{metric, label}) }

// wakeUp has all links looked at in this step, or soon, see turnSoon.
func (m *Machine) wakeUp() { m.pace.wake = true }

// upTo returns a random duration below d.
func (m *Machine) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(m.rand.Int64N(int64(d)))
}

// sorted returns the keys of a map in order: chance must not decide what is
// done first.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
