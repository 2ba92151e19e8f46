package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/remote"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/pki"
)

const (
	// nodeName is the server's own node.
	nodeName = "server"
	// renewCheck is how often the own certificate's age is looked at.
	renewCheck = time.Hour
)

// errNodeDown: the own node does not run at the moment.
var errNodeDown = errors.New("the server's own node is not up yet")

// ownNode is the server's own place in the mesh. Its certificate is one of the
// mesh's CA like everyone's, and renewed in the same way, while it runs.
type ownNode struct {
	pki         *pki.Service
	cfg         node.Config // of every start
	introducers []string
	log         *slog.Logger
	ready       chan struct{} // closed after the first convergence
	readyOnce   sync.Once
	changed     chan struct{} // 1-deep

	mu     sync.Mutex // guards the fields below
	node   *node.Node // nil while none runs
	client *remote.Client
}

var (
	_ server.Node   = (*ownNode)(nil)
	_ server.Remote = (*ownNode)(nil)
)

// newOwnNode certifies the node and returns it, not yet running, with its
// overlay address.
func newOwnNode(ctx context.Context, n *ownNode) (netip.Addr, error) {
	n.ready, n.changed = make(chan struct{}), make(chan struct{}, 1)
	b, err := n.certify(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	g, err := n.pki.Roots().Verify(b.Certificate, time.Now())
	return g.IP, err
}

// certify writes the bundle that the node starts with: the key it has, or a new
// one, and a certificate that is not due for renewal.
func (n *ownNode) certify(ctx context.Context) (*identity.Bundle, error) {
	key, err := n.key()
	if err != nil {
		return nil, err
	}
	grant := identity.Grant{Node: nodeName, Roles: []identity.Role{identity.RoleIntroducer, identity.RoleServer}}
	cert, err := n.pki.IssueOwn(ctx, key.Public().(ed25519.PublicKey), grant)
	if err != nil {
		return nil, err
	}
	b := &identity.Bundle{Certificate: cert, Key: key, CAs: n.pki.Roots().CAs(), Introducers: n.introducers}
	if err := b.Save(n.cfg.Bundle); err != nil {
		return nil, fmt.Errorf("own node: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.client = remote.NewClient(b, n.pki.Roots())
	return b, nil
}

// key returns the key of the bundle on disk, or a new one when there is none.
func (n *ownNode) key() (ed25519.PrivateKey, error) {
	b, err := identity.LoadBundle(n.cfg.Bundle)
	if err == nil {
		return b.Key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("own node: %w", err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("own node: key: %w", err)
	}
	return key, nil
}

// run keeps the node running until ctx ends or it fails.
func (n *ownNode) run(ctx context.Context) error {
	for ctx.Err() == nil {
		b, err := n.certify(ctx)
		if err != nil {
			return err
		}
		if err := n.runOnce(ctx, b); err != nil {
			return fmt.Errorf("own node: %w", err)
		}
	}
	return nil
}

// runOnce runs the node until ctx ends or it leaves the mesh.
func (n *ownNode) runOnce(ctx context.Context, b *identity.Bundle) error {
	nd, err := node.New(n.cfg, n.log)
	if err != nil {
		return err
	}
	n.set(nd)
	defer n.set(nil)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.attend(ctx, nd, renewalOf(b))
	}()
	err = nd.Run(ctx)
	cancel()
	<-done
	return err
}

// renewalOf is when a certificate is due for renewal.
func renewalOf(b *identity.Bundle) time.Time {
	return b.Certificate.NotBefore.Add(identity.Backdate + pki.RenewAfter)
}

// attend passes on what the node tells, and renews its certificate when that is
// due, until ctx ends.
func (n *ownNode) attend(ctx context.Context, nd *node.Node, due time.Time) {
	ready := nd.Ready()
	tick := time.NewTicker(renewCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ready:
			ready = nil
			n.readyOnce.Do(func() { close(n.ready) })
			n.notify()
		case <-nd.Changed():
			n.notify()
		case now := <-tick.C:
			if now.Before(due) {
				continue
			}
			b, err := n.renew(ctx, nd)
			if err != nil {
				n.log.Warn("own certificate is not renewed yet", "err", err)
				continue
			}
			due = renewalOf(b)
		}
	}
}

// renew certifies the node anew and has it go on with that.
func (n *ownNode) renew(ctx context.Context, nd *node.Node) (*identity.Bundle, error) {
	b, err := n.certify(ctx)
	if err != nil {
		return nil, err
	}
	data, err := b.Marshal()
	if err != nil {
		return nil, err
	}
	_, err = nd.Renew(ctx, data)
	return b, err
}

func (n *ownNode) set(nd *node.Node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.node = nd
}

func (n *ownNode) notify() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

func (n *ownNode) current() (*node.Node, *remote.Client) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.node, n.client
}

// Peers implements server.Node.
func (n *ownNode) Peers() []server.Peer {
	nd, _ := n.current()
	if nd == nil {
		return nil
	}
	peers := nd.Peers()
	out := make([]server.Peer, 0, len(peers))
	for _, p := range peers {
		out = append(out, server.Peer{Name: p.Name, IP: p.IP, Up: p.State == mesh.StateUp})
	}
	return out
}

// Changed implements server.Node.
func (n *ownNode) Changed() <-chan struct{} { return n.changed }

// Revoke implements server.Node.
func (n *ownNode) Revoke(ctx context.Context, signed []byte) error {
	nd, _ := n.current()
	if nd == nil {
		return errNodeDown
	}
	return nd.Revoke(ctx, signed)
}

// Exec implements server.Remote.
func (n *ownNode) Exec(ctx context.Context, t remote.Target, cmd remote.Command) (int, error) {
	_, c := n.current()
	return c.Exec(ctx, t, cmd)
}

// Version implements server.Remote.
func (n *ownNode) Version(ctx context.Context, t remote.Target) (remote.Version, error) {
	_, c := n.current()
	return c.Version(ctx, t)
}
