package mesh

import (
	"context"
	"crypto/ecdh"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// Mesh is one node's part in the network. Make it with [New] and start it with
// [Mesh.Run], once.
type Mesh struct {
	cfg       Config
	roots     *identity.Roots
	grant     identity.Grant
	publicKey [32]byte // WireGuard's
	net       Net
	log       *slog.Logger
	timing    Timing
	store     store
	metrics   *metrics
	now       func() time.Time
	warnings  *rate.Limiter
	bulk      *bulk  // large requests of members and joiners
	boot      string // makes this start's name in gossip unlike all others

	ready     chan struct{} // closed at the first convergence
	readyOnce sync.Once
	changed   chan struct{} // 1-deep, for the user
	wake      chan struct{} // 1-deep, for the loop
	announce  chan struct{} // 1-deep, for gossip: the own record is new
	fetch     chan struct{} // 1-deep, for the fetcher
	lonely    chan struct{} // 1-deep, for the joiner and gossip: look for others now
	unsaved   chan struct{} // 1-deep, for the saver: saveBy has changed
	left      chan struct{} // closed by Leave

	publishMu sync.Mutex // held while a record of our own is made
	saveMu    sync.Mutex // held while peers are written to disk; guards saveFailed
	applyMu   sync.Mutex // held while the device is set; guards applied and setFailed
	applied   *overlay.Config
	setFailed bool

	saveFailed bool

	mu        sync.Mutex // guards the fields below
	self      *identity.Signed
	version   uint64 // of self, or the last one on disk
	where     whereabouts
	book      *book
	links     map[string]*link // of everyone in the device, by node
	byIP      map[netip.Addr]string
	learned   map[string]netip.AddrPort // endpoints remembered from the last run
	clashes   map[string]string         // last logged, by node
	conflicts map[string]digest         // of records refused as conflicts, by node
	wants     map[string]*want
	asking    map[string]bool  // members that a fetch is under way from
	states    map[string]State // last reported, by node
	cameUp    bool             // a peer has, since the device was read
	saveBy    time.Time        // when what has changed of the peers is to be on disk, zero if nothing has
	wire      *wire
	list      *memberlist.Memberlist
	running   bool
	leaving   bool
	// listUnsaved is why the revocation list in force is not on disk, nil if it is.
	listUnsaved error
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
	key, err := ecdh.X25519().NewPrivateKey(cfg.PrivateKey[:])
	if err != nil {
		return nil, fmt.Errorf("mesh: private key: %w", err)
	}
	grant, err := roots.Verify(cfg.Bundle.Certificate, time.Now())
	if err != nil {
		return nil, fmt.Errorf("mesh: own certificate: %w", err)
	}
	m := &Mesh{
		cfg: cfg, roots: roots, grant: grant, publicKey: [32]byte(key.PublicKey().Bytes()),
		net: cfg.Net, log: cfg.Log, timing: cfg.Timing.withDefaults(), store: store{cfg.StateDir},
		metrics: newMetrics(), now: time.Now, warnings: rate.NewLimiter(1, 20), bulk: newBulk(),
		ready: make(chan struct{}), changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		announce: make(chan struct{}, 1), fetch: make(chan struct{}, 1), lonely: make(chan struct{}, 1),
		unsaved: make(chan struct{}, 1), left: make(chan struct{}),
		book: newBook(), links: map[string]*link{}, byIP: map[netip.Addr]string{}, learned: map[string]netip.AddrPort{},
		clashes: map[string]string{}, conflicts: map[string]digest{}, wants: map[string]*want{}, asking: map[string]bool{}, states: map[string]State{},
	}
	if m.net == nil {
		m.net = hostNet{}
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	mesh := roots.Mesh()
	m.where = whereabouts{
		port: cfg.Port, overlay: []netip.Prefix{mesh.CIDR, mesh.CIDR6}, advertise: cfg.Advertise,
		mapped: cfg.AdvertiseObserved, network: cfg.Network, introduce: cfg.Introduce,
	}
	m.boot = strconv.FormatInt(time.Now().UnixMilli(), 16)
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
	now := m.now()
	ps := make([]Peer, 0, len(m.links))
	for _, name := range slices.Sorted(maps.Keys(m.links)) {
		ps = append(ps, m.links[name].peer(now))
	}
	return ps
}

// peer returns the link as users see it.
func (l *link) peer(now time.Time) Peer {
	g := l.signed.Grant
	p := Peer{
		Name: g.Node, IP: g.IP, IP6: g.IP6, Groups: slices.Clone(g.Groups), Roles: slices.Clone(g.Roles),
		Endpoint: l.status.Endpoint, RTT: l.rtt, LastHandshake: l.status.LastHandshake,
		RxBytes: l.status.RxBytes, TxBytes: l.status.TxBytes,
	}
	p.State, p.Reason = l.state(now)
	if p.State == StateUp || l.live(now) {
		p.Path = pathOf(l.status.Endpoint, l.signed.Record)
	}
	return p
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
	if err := m.publish(standingLeft, 0); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	told := m.spreadSelf(ctx)
	m.log.Info("left the mesh", "told", told)
	m.saveMu.Lock() // from now on nothing is saved
	err := m.store.forgetPeers()
	m.saveMu.Unlock()
	close(m.left)
	return err
}

// Revoke puts a signed revocation list in force here, keeps it on disk, removes
// whom it names and hands it to everyone. The list in force again is no error.
func (m *Mesh) Revoke(ctx context.Context, signed []byte) error {
	if err := m.applyRevocations(ctx, signed, "operator"); err != nil {
		return err
	}
	m.spread(ctx, request{Format: format, From: m.grant.Node, Revocations: m.roots.Revocations()}, "")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listUnsaved != nil {
		return fmt.Errorf("revocation list is in force, but not on disk yet: %w", m.listUnsaved)
	}
	return nil
}

// applyRevocations puts a list in force and the device in line with it. Only
// then the list is spread or answered: the revoked node is gone here first.
func (m *Mesh) applyRevocations(ctx context.Context, signed []byte, source string) error {
	changed, err := m.roots.Apply(signed)
	verdict := "known"
	if err != nil {
		verdict = fault(err)
	} else if changed {
		verdict = "new"
	}
	m.metrics.lists.WithLabelValues(verdict).Inc()
	if err != nil || !changed {
		return err
	}
	m.saveList()
	m.log.Info("revocation list in force", "number", m.roots.RevocationNumber(), "source", source)
	if m.roots.Revoked(m.cfg.Bundle.Certificate) {
		m.log.Error("this node's own certificate is revoked: it stops, and the others refuse it")
	}
	m.mu.Lock()
	m.refreshLocked(nil)
	m.mu.Unlock()
	m.setDevice(ctx)
	return nil
}

// notify puts a value into a 1-deep channel unless there is one.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
