package mesh

import "github.com/cbnet-io/cbnet/mesh/protocol"

// GossipPort is the port on every node's overlay address, UDP and TCP, where
// members gossip, exchange records and probe each other: inside the tunnel only.
const GossipPort = protocol.GossipPort

// What users see of others is the protocol's.
type (
	// Peer is another node, as this one sees it.
	Peer = protocol.Peer
	// State tells how a peer is doing, as this node sees it.
	State = protocol.State
	// Path tells by what kind of address a peer is reached.
	Path = protocol.Path
	// Timing holds the intervals of a mesh.
	Timing = protocol.Timing
)

// The states of a peer.
const (
	StateConnecting  = protocol.StateConnecting
	StateUp          = protocol.StateUp
	StateUnreachable = protocol.StateUnreachable
	StateAway        = protocol.StateAway
)

// The paths.
const (
	PathPrivate = protocol.PathPrivate
	PathPublic  = protocol.PathPublic
	PathPunched = protocol.PathPunched
	PathRelay   = protocol.PathRelay
	PathNone    = protocol.PathNone
)
