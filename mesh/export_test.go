package mesh

import (
	"context"
	"io"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// What tests that speak the wire formats themselves need.
var (
	NewPreface = newPreface
	WriteFrame = protocol.WriteFrame
	// GossipConfig is how memberlist works.
	GossipConfig = gossipConfig
)

// ReadReply receives an answer.
func ReadReply(r io.Reader) (protocol.Reply, error) {
	return protocol.ReadReply(r, protocol.MaxReply)
}

// PrefaceSize is the length of a preface.
const PrefaceSize = prefaceSize

// Magic begins streams of ours on the gossip port.
const Magic = protocol.Magic

// MaxRequest bounds a request.
const MaxRequest = protocol.MaxRequest

// Request is what is asked on the wire.
type Request = protocol.Request

// GossipMembers returns the names that a mesh's gossip holds for alive.
func (m *Mesh) GossipMembers() []string {
	_, list := m.parts()
	var names []string
	for _, n := range list.Members() {
		names = append(names, n.Name)
	}
	return names
}

// OrderNothing waits for an answer that never comes.
func (m *Mesh) OrderNothing(ctx context.Context) error {
	return m.order(ctx, func(uint64) protocol.Event { return protocol.Tick{} })
}
