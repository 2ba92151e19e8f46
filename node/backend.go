package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/internal/version"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node/control"
)

// Status returns what the node is and does, as the control socket tells it.
func (n *Node) Status() control.Status {
	n.mu.Lock()
	s := control.Status{
		Interface: n.c.Interface,
		Datapath:  string(n.datapath),
		Port:      n.c.Port,
		Phase:     n.phase,
		Version:   version.Version,
		Pid:       os.Getpid(),
	}
	g, f := n.grant, n.fabric
	if !n.expires.IsZero() {
		t := n.expires.UTC()
		s.Expires = &t
	}
	n.mu.Unlock()
	if g.Node != "" {
		s.Name, s.Mesh, s.IP, s.IP6 = g.Node, g.Mesh, g.IP.String(), g.IP6.String()
	} else {
		s.Name = n.wanted()
	}
	if f != nil {
		for _, p := range f.Peers() {
			s.Peers.Count(control.PeerState(p.State))
		}
	}
	return s
}

// wanted is the node's name before its certificate is there.
func (n *Node) wanted() string {
	n.once.Lock()
	defer n.once.Unlock()
	if n.found == nil {
		return ""
	}
	return n.found.name()
}

// running returns the mesh, or says that there is none yet.
func (n *Node) running() (fabric, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fabric == nil {
		return nil, &control.Error{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf(
			"the daemon is not in its mesh yet, it is %s: look at its log, and try again", n.phase)}
	}
	return n.fabric, nil
}

// backend is what the control socket asks.
type backend struct{ n *Node }

var _ control.Backend = backend{}

// Status implements control.Backend.
func (b backend) Status() control.Status { return b.n.Status() }

// Peers implements control.Backend.
func (b backend) Peers() []control.Peer {
	peers := b.n.Peers()
	out := make([]control.Peer, 0, len(peers))
	for _, p := range peers {
		out = append(out, toControl(p))
	}
	return out
}

func toControl(p mesh.Peer) control.Peer {
	c := control.Peer{
		Name:    p.Name,
		IP:      p.IP.String(),
		IP6:     p.IP6.String(),
		Groups:  append([]string{}, p.Groups...),
		Path:    string(p.Path),
		RxBytes: p.RxBytes,
		TxBytes: p.TxBytes,
		State:   control.PeerState(p.State),
		Reason:  p.Reason,
	}
	for _, r := range p.Roles {
		c.Roles = append(c.Roles, string(r))
	}
	if p.Endpoint.IsValid() {
		c.Endpoint = p.Endpoint.String()
	}
	if p.RTT > 0 {
		ms := millis(p.RTT)
		c.RTTMs = &ms
	}
	if !p.LastHandshake.IsZero() {
		t := p.LastHandshake.UTC()
		c.LastHandshake = &t
	}
	return c
}

// millis returns a duration in milliseconds, to a microsecond.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// Ping implements control.Backend.
func (b backend) Ping(ctx context.Context, name string) (control.Ping, error) {
	return b.n.ping(ctx, name)
}

// Leave implements control.Backend.
func (b backend) Leave(ctx context.Context) error { return b.n.Leave(ctx) }

// Renew implements control.Backend.
func (b backend) Renew(ctx context.Context, bundle []byte) (control.Renewal, error) {
	return b.n.Renew(ctx, bundle)
}

// Revoke implements control.Backend.
func (b backend) Revoke(ctx context.Context, signed []byte) error {
	err := b.n.Revoke(ctx, signed)
	for _, bad := range []error{identity.ErrFormat, identity.ErrSignature, identity.ErrTooLarge, identity.ErrOutdated, identity.ErrUntrusted} {
		if errors.Is(err, bad) {
			return &control.Error{Status: http.StatusBadRequest, Message: err.Error()}
		}
	}
	return err
}
