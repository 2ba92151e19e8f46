package sim

import (
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Options say what to simulate. Zero fields mean the defaults.
type Options struct {
	Seed   uint64
	Nodes  int           // in all; 25
	Liars  int           // of these; a fifth
	Chaos  time.Duration // how long faults happen; 60 s
	Within time.Duration // for all to be well again after that; 45 s
	Timing protocol.Timing

	// Hear and Do stand between honest machines and the world, to break them on
	// purpose: Hear may change or drop an event, Do the actions.
	Hear func(*Node, protocol.Event) (protocol.Event, bool)
	Do   func(*Node, []protocol.Action) []protocol.Action
	// Verbose is told all log lines.
	Verbose func(at time.Duration, node string, l protocol.Log)
	// Calm leaves the faults of the network and of hosts out; the liars stay.
	Calm bool
}

func (o Options) withDefaults() Options {
	if o.Nodes == 0 {
		o.Nodes = 25
	}
	if o.Liars == 0 {
		o.Liars = o.Nodes / 5
	}
	if o.Chaos == 0 {
		o.Chaos = time.Minute
	}
	if o.Within == 0 {
		o.Within = 45 * time.Second
	}
	return o
}

// Result is what came of a simulation.
type Result struct {
	Hash   uint64 // of the trace
	Nodes  int
	Events int           // that machines were told
	Healed time.Duration // from the end of the faults until all was well
	Sim    time.Duration // simulated in all
	Broken *Broken       // the first broken invariant, nil if none
	Trace  string        // the last events, if one is broken
}

// Broken says which invariant does not hold.
type Broken struct {
	Invariant string
	Node      string
	Detail    string
	At        time.Duration
}

// String returns it as a line.
func (b *Broken) String() string {
	return fmt.Sprintf("%s broken at %s by %s: %s", b.Invariant, b.At, b.Node, b.Detail)
}

// World is one simulation.
type World struct {
	opt    Options
	rand   *rand.Rand
	memo   memo
	ca     *authority
	wrong  *authority // nobody trusts it
	now    time.Duration
	seq    uint64
	queue  queue
	trace  trace
	events int
	broken *Broken

	nodes       []*Node
	liars       []*Node
	hosts       []*host
	byAddr      map[netip.Addr]*host
	grants      map[netip.Addr][]grant // by overlay address, the first first
	addresses   []netip.Addr           // the keys of grants, in order
	introducers []string
	contested   map[netip.Addr]bool
	shut        bool // all introducers are

	loss     float64
	latency  time.Duration
	jitter   time.Duration
	oneWay   map[[2]*host]bool
	sessions uint64
	lastRun  uint64
	moves    int
	healed   time.Duration
	calm     bool          // the faults have ended
	last     time.Duration // of those that were begun before that, and end later
	seen     [][]byte      // envelopes that liars have collected
}

// grant is a certificate of the authority, and whose it is.
type grant struct {
	node *Node
	cert *x509.Certificate
	ip6  netip.Addr
}

// Run simulates one seed.
func Run(o Options) (Result, error) {
	w, err := newWorld(o.withDefaults())
	if err != nil {
		return Result{}, err
	}
	w.play()
	r := Result{Hash: w.trace.hash, Nodes: len(w.nodes), Events: w.events, Healed: w.healed, Sim: w.now, Broken: w.broken}
	if w.broken != nil {
		r.Trace = w.trace.text()
	}
	return r, nil
}

func newWorld(o Options) (*World, error) {
	w := &World{
		opt: o, rand: rand.New(rand.NewPCG(o.Seed, 0xcb)), byAddr: map[netip.Addr]*host{}, grants: map[netip.Addr][]grant{},
		contested: map[netip.Addr]bool{}, oneWay: map[[2]*host]bool{}, latency: 5 * time.Millisecond, jitter: 30 * time.Millisecond, loss: 0.01,
	}
	var err error
	if w.ca, err = newAuthority(w.rand); err != nil {
		return nil, err
	}
	if w.wrong, err = newAuthority(w.rand); err != nil {
		return nil, err
	}
	w.memo = newMemo(w.ca.ca.Certificate)
	for i := range o.Nodes {
		var roles []identity.Role
		if i < 3 {
			roles = []identity.Role{identity.RoleIntroducer}
		}
		n, err := w.newNode(i+1, roles...)
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
		if n.intro != "" {
			w.introducers = append(w.introducers, n.intro)
		}
	}
	for _, i := range w.rand.Perm(o.Nodes - 2)[:o.Liars] { // two introducers at least are honest
		n := w.nodes[i+2]
		n.liar = newLiar(n)
		w.liars = append(w.liars, n)
	}
	return w, nil
}

// clock is the true time.
func (w *World) clock() time.Time { return epoch.Add(w.now) }

// settleAddress has packets to a host's address arrive there.
func (w *World) settleAddress(h *host) { w.byAddr[w.seenAt(h).Addr()] = h }

func (w *World) granted(n *Node, cert *x509.Certificate) {
	roots, err := identity.NewRoots(w.ca.ca.Certificate)
	if err != nil {
		return
	}
	g, err := roots.Verify(cert, w.clock())
	if err != nil {
		return
	}
	if w.grants[g.IP] == nil {
		w.addresses = append(w.addresses, g.IP)
	}
	w.grants[g.IP] = append(w.grants[g.IP], grant{n, cert, g.IP6})
}

// nodeAt returns the running node with an overlay address.
func (w *World) nodeAt(a netip.Addr) *Node {
	for _, n := range w.nodes {
		if n.opened && n.ip() == a {
			return n
		}
	}
	return nil
}

func (w *World) introducerAt(addr string) *Node {
	for _, n := range w.nodes {
		if n.intro == addr && !w.shut {
			return n
		}
	}
	return nil
}

func (w *World) fail(invariant string, n *Node, detail string) {
	if w.broken == nil {
		w.broken = &Broken{Invariant: invariant, Node: n.name, Detail: detail, At: w.now}
		w.log(n.name, "BROKEN "+invariant, detail, 0)
	}
}

// play runs a whole simulation.
func (w *World) play() {
	for _, n := range w.nodes {
		n.skew = w.smallSkew()
		w.after(time.Duration(w.rand.Int64N(int64(5*time.Second))), n.start)
	}
	w.after(8*time.Second, w.lie)
	w.runUntil(15 * time.Second)
	if !w.opt.Calm {
		w.after(0, w.chaos)
	}
	w.runUntil(15*time.Second + w.opt.Chaos)
	w.heal()
	w.runUntil(max(w.now, w.last))
	ended := w.now
	for w.broken == nil {
		what, n, detail := w.unwell()
		if what == "" {
			break
		}
		if w.now-ended >= w.opt.Within {
			w.fail(what, n, detail)
		}
		w.runUntil(w.now + 500*time.Millisecond)
	}
	w.healed = w.now - ended
	w.runUntil(w.now + 15*time.Second) // and it stays so
	w.stay()
}

// stay fails if not all is well within a few probes.
func (w *World) stay() {
	until := w.now + 10*time.Second
	for w.broken == nil {
		what, n, detail := w.unwell()
		if what == "" {
			return
		}
		if w.now >= until {
			w.fail(what, n, "once it was well: "+detail)
		}
		w.runUntil(w.now + 500*time.Millisecond)
	}
}

func (w *World) smallSkew() time.Duration {
	return time.Duration(w.rand.Int64N(int64(4*time.Minute))) - 2*time.Minute
}

func (w *World) bigSkew() time.Duration {
	return time.Duration(w.rand.Int64N(int64(110*time.Minute))) - 55*time.Minute
}
