package node

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node/control"
)

const (
	pingTries = 3
	pingWait  = time.Second // for one answer
)

// ping sends up to pingTries packets to a peer's overlay address.
func (n *Node) ping(ctx context.Context, name string) (control.Ping, error) {
	f, err := n.running()
	if err != nil {
		return control.Ping{}, err
	}
	n.mu.Lock()
	self := n.grant
	n.mu.Unlock()
	if name == self.Node {
		return control.Ping{}, &control.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%s is this node", name)}
	}
	var peer *mesh.Peer
	for _, p := range f.Peers() {
		if p.Name == name {
			peer = &p
		}
	}
	if peer == nil {
		return control.Ping{}, &control.Error{Status: http.StatusNotFound, Message: fmt.Sprintf(
			"no node named %q is known here: see `cbctl node peers`", name)}
	}
	var last error
	for range pingTries {
		rtt, via, err := echo(ctx, self.IP, peer.IP, pingWait)
		if err == nil {
			return control.Ping{Name: name, IP: peer.IP.String(), RTTMs: millis(rtt), Via: via}, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return control.Ping{}, &control.Error{Status: http.StatusGatewayTimeout, Message: noAnswer(*peer, last)}
}

// noAnswer explains a silent peer with what is known of it.
func noAnswer(p mesh.Peer, err error) string {
	s := fmt.Sprintf("%s (%s) does not answer through the tunnel: %v; it is %s", p.Name, p.IP, err, p.State)
	if p.Reason != "" {
		s += " (" + p.Reason + ")"
	}
	if !p.Endpoint.IsValid() {
		return s + ", no address of it is known"
	}
	s += fmt.Sprintf(", last tried at %s", p.Endpoint)
	if p.LastHandshake.IsZero() {
		return s + ", no handshake yet: does its firewall let UDP through there?"
	}
	return s + fmt.Sprintf(", last handshake %s ago", time.Since(p.LastHandshake).Round(time.Second))
}
