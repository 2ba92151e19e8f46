package mesh

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Mesh is one node's part in the network. Make it with [New] and start it with
// [Mesh.Run], once.
type Mesh struct {
	cfg      Config
	roots    *identity.Roots
	grant    identity.Grant
	net      Net
	log      *slog.Logger
	timing   Timing
	store    store
	metrics  *metrics
	now      func() time.Time
	warnings *rate.Limiter
	bulk     *bulk // large requests of members and joiners

	ready    chan struct{} // closed at the first convergence
	changed  chan struct{} // 1-deep, for the user
	rearm    chan struct{} // 1-deep, for the loop: the machine is due earlier
	announce chan struct{} // 1-deep, for gossip: the own record is new
	started  chan error    // 1-deep: the own record stands and the device is set
	end      chan error    // 1-deep: the node has to end
	left     chan struct{} // closed by Leave
	work     sync.WaitGroup

	saveMu  sync.Mutex // held while peers are written to disk; guards noSaves
	noSaves bool

	mu      sync.Mutex // guards the fields below
	machine *protocol.Machine
	armed   time.Time // when the loop looks next
	lastID  uint64
	answers map[uint64]chan protocol.Answer    // whom a request waits for, by ID
	asks    map[uint64]chan protocol.Introduce // introducers that have greeted, by call
	orders  map[uint64]chan protocol.Done      // calls of the user, by ID
	ops     context.Context                    // of all that the machine has asked for
	wire    *wire
	list    *memberlist.Memberlist
	running bool
	leaving bool
	over    bool          // Run has ended
	gone    chan struct{} // closed then
}

// New checks the configuration and touches nothing.
func New(cfg Config) (*Mesh, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	roots := cfg.Roots
	if roots == nil {
		r, err := cfg.Bundle.Roots()
		if err != nil {
			return nil, fmt.Errorf("mesh: %w", err)
		}
		roots = r
	}
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	now := time.Now()
	machine, err := protocol.New(protocol.Config{
		Roots: roots, Certificate: cfg.Bundle.Certificate, Key: cfg.Bundle.Key, Introducers: cfg.Bundle.Introducers,
		PrivateKey: cfg.PrivateKey, Port: cfg.Port, MTU: cfg.MTU,
		Introduce: cfg.Introduce, Advertise: cfg.Advertise, AdvertiseObserved: cfg.AdvertiseObserved, Network: cfg.Network, Repeats: cfg.Repeats,
		Boot: strconv.FormatInt(now.UnixMilli(), 16), Timing: cfg.Timing, Rand: rand.New(rand.NewChaCha8(seed)),
	}, now)
	if err != nil {
		return nil, fmt.Errorf("mesh: %w", err)
	}
	m := &Mesh{
		cfg: cfg, roots: roots, grant: machine.Grant(), machine: machine,
		net: cfg.Net, log: cfg.Log, timing: cfg.Timing.WithDefaults(), store: store{cfg.StateDir},
		metrics: newMetrics(), now: time.Now, warnings: rate.NewLimiter(1, 20), bulk: newBulk(),
		ready: make(chan struct{}), changed: make(chan struct{}, 1), rearm: make(chan struct{}, 1), gone: make(chan struct{}),
		announce: make(chan struct{}, 1), started: make(chan error, 1), end: make(chan error, 1), left: make(chan struct{}),
		answers: map[uint64]chan protocol.Answer{}, asks: map[uint64]chan protocol.Introduce{}, orders: map[uint64]chan protocol.Done{},
		ops: context.Background(),
	}
	if m.net == nil {
		m.net = hostNet{}
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	return m, nil
}

// Ready is closed once the node takes part: a peer answers, or it introduces
// others and is the first one here.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Changed receives a value, coalesced, after a peer or its state has changed.
// It is meant for one reader.
func (m *Mesh) Changed() <-chan struct{} { return m.changed }

// Grant returns what this node's certificate allows it.
func (m *Mesh) Grant() identity.Grant { return m.grant }

// Peers returns every other node in the device, sorted by name.
func (m *Mesh) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.machine.Peers(m.now())
}

// Leave gives this node's place up: a signed leave goes to everyone, who then
// forget it, and Run returns nil. To come back a node needs an introducer.
func (m *Mesh) Leave(ctx context.Context) error {
	m.mu.Lock()
	if !m.running || m.leaving {
		m.mu.Unlock()
		return ErrNotRunning
	}
	m.leaving = true
	m.mu.Unlock()
	if err := m.order(ctx, func(id uint64) protocol.Event { return protocol.Leave{ID: id} }); err != nil {
		return err
	}
	m.saveMu.Lock() // from now on nothing is saved
	m.noSaves = true
	err := m.store.forgetPeers()
	m.saveMu.Unlock()
	close(m.left)
	return err
}

// Revoke puts a signed revocation list in force here, keeps it on disk, removes
// whom it names and hands it to everyone. The list in force again is no error.
func (m *Mesh) Revoke(ctx context.Context, signed []byte) error {
	return m.order(ctx, func(id uint64) protocol.Event { return protocol.Revoke{ID: id, List: signed} })
}

// order has the machine do something and waits until it is done.
func (m *Mesh) order(ctx context.Context, event func(id uint64) protocol.Event) error {
	m.mu.Lock()
	over := m.over
	m.mu.Unlock()
	if over {
		return ErrNotRunning
	}
	done, _, err := await(ctx, m, m.orders, event)
	if err != nil {
		return err
	}
	return done.Err
}

// notify puts a value into a 1-deep channel unless there is one.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
