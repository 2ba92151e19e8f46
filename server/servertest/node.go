package servertest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/cbnet-io/cbnet/node/remote"
	"github.com/cbnet-io/cbnet/server"
)

// Node is a server's own node whose peers a test sets.
type Node struct {
	changed chan struct{}

	mu    sync.Mutex // guards the fields below
	peers []server.Peer
	lists [][]byte
	fail  error
}

var (
	_ server.Node   = (*Node)(nil)
	_ server.Remote = (*Node)(nil)
)

// NewNode returns a node without peers.
func NewNode() *Node { return &Node{changed: make(chan struct{}, 1)} }

// Set makes a peer up or down.
func (n *Node) Set(name, ip string, up bool) {
	n.mu.Lock()
	n.peers = slices.DeleteFunc(n.peers, func(p server.Peer) bool { return p.Name == name })
	n.peers = append(n.peers, server.Peer{Name: name, IP: netip.MustParseAddr(ip), Up: up})
	n.mu.Unlock()
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// FailRevoke makes Revoke return err.
func (n *Node) FailRevoke(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

// Lists returns the revocation lists that the node was given.
func (n *Node) Lists() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lists)
}

// Peers implements server.Node.
func (n *Node) Peers() []server.Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.peers)
}

// Changed implements server.Node.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// Revoke implements server.Node.
func (n *Node) Revoke(_ context.Context, signed []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	n.lists = append(n.lists, slices.Clone(signed))
	return nil
}

// Exec implements server.Remote: "echo" prints its arguments, "fail" prints to
// standard error and exits with 3, "hang" waits for the end of ctx, anything
// else cannot be run.
func (n *Node) Exec(ctx context.Context, t remote.Target, cmd remote.Command) (int, error) {
	switch cmd.Args[0] {
	case "echo":
		_, err := fmt.Fprintln(cmd.Stdout, strings.Join(cmd.Args[1:], " "))
		return 0, err
	case "fail":
		_, err := fmt.Fprintln(cmd.Stderr, "went wrong on", t.Node)
		return 3, err
	case "hang":
		<-ctx.Done()
		return 0, context.Cause(ctx)
	}
	return 0, fmt.Errorf("exec on %s: %q: no such program", t.Node, cmd.Args[0])
}

// Version implements server.Remote.
func (n *Node) Version(_ context.Context, t remote.Target) (remote.Version, error) {
	return remote.Version{Node: t.Node, Version: "v0.0.1"}, nil
}
