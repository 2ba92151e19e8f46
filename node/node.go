package node

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/overlay"
)

// fabric is what a node needs of its mesh.
type fabric interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
	Changed() <-chan struct{}
	Peers() []mesh.Peer
	pathfinder
	Leave(ctx context.Context) error
	Revoke(ctx context.Context, signed []byte) error
}

// device is what a node needs of its data plane.
type device interface {
	mesh.Device
	Datapath() overlay.Datapath
	Close() error
}

// Node is one node of a mesh. Make it with [New], run it once with
// [Node.Run].
type Node struct {
	c   Config
	log *slog.Logger

	stdin      io.Reader
	privilege  func() error
	openDevice func(context.Context, overlay.Options) (device, error)
	newMesh    func(mesh.Config) (fabric, error)

	ready     chan struct{} // closed by Run after first convergence
	readyOnce sync.Once
	changed   chan struct{} // 1-deep, sent to by Run

	renewing sync.Mutex    // held by Renew
	renewals chan *renewed // from Renew to Run

	once  sync.Mutex  // guards found
	found *identified // nil before identify

	mu       sync.Mutex // guards the fields below
	phase    control.Phase
	grant    identity.Grant // zero before enrolment
	expires  time.Time      // end of the certificate, zero before enrolment
	datapath overlay.Datapath
	fabric   fabric                  // nil before the mesh is made
	held     *parts                  // a copy of what fabric is made of
	stop     context.CancelCauseFunc // ends Run; nil before
}

// New returns a node. It checks the configuration (see [Config.Validate]) and
// touches nothing: no file, no goroutine, no socket. A nil log is silent.
func New(c Config, log *slog.Logger) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Node{
		c:         c.withDefaults(),
		log:       log,
		stdin:     os.Stdin,
		privilege: checkPrivilege,
		openDevice: func(ctx context.Context, o overlay.Options) (device, error) {
			d, err := overlay.Open(ctx, o)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
		newMesh: func(c mesh.Config) (fabric, error) {
			m, err := mesh.New(c)
			if err != nil {
				return nil, err
			}
			return m, nil
		},
		ready:    make(chan struct{}),
		changed:  make(chan struct{}, 1),
		renewals: make(chan *renewed),
		phase:    control.PhaseStarting,
	}, nil
}

// Ready is closed once the node has found its place in the mesh for the first
// time since Run started.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Changed receives a value after peers or their states have changed. Values
// are coalesced: whoever receives one reads [Node.Peers] again.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// Peers returns everyone this node knows, sorted by name; nobody before the
// mesh runs.
func (n *Node) Peers() []mesh.Peer {
	n.mu.Lock()
	f := n.fabric
	n.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Peers()
}

// Revoke applies a signed revocation list and spreads it.
func (n *Node) Revoke(ctx context.Context, signed []byte) error {
	f, err := n.running()
	if err != nil {
		return err
	}
	return f.Revoke(ctx, signed)
}

// Leave gives up the node's place in the mesh: the others forget it. Run ends
// afterwards, without an error. A later start joins again.
func (n *Node) Leave(ctx context.Context) error {
	f, err := n.running()
	if err != nil {
		return err
	}
	if err := f.Leave(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stop(errLeft)
	return nil
}

func (n *Node) setPhase(p control.Phase) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase = p
}

func (n *Node) notify() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}
