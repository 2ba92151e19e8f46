package protocol

import (
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// State tells how a peer is doing, as this node sees it.
//
//	            echo answered                  four echoes lost
//	connecting ---------------> up  ------------------------------> unreachable
//	    |  ^                    ^ |                                   |      |
//	    |  | its newer record   | +---- its record says away -----+   |      |
//	    |  +-------------------------------- away <---------------+---|------+
//	    |                       |              ^                      |
//	    |                       +--------------|-- echo answered -----+
//	    +-- ten seconds without an answer --> unreachable
type State string

// The states of a peer.
const (
	StateConnecting  State = "connecting"  // no answer yet
	StateUp          State = "up"          // it answers through the tunnel
	StateUnreachable State = "unreachable" // it stopped answering, or never did
	StateAway        State = "away"        // it said that it stops, and keeps its place
)

// Path tells by what kind of address a peer is reached.
type Path string

// The paths.
const (
	PathPrivate Path = "private" // an address of the peer's own interfaces
	PathPublic  Path = "public"  // a public address that its operator named
	PathPunched Path = "punched" // an address that others see it at, through a NAT
	PathRelay   Path = "relay"   // through another node
	PathNone    Path = ""        // none so far
)

// Peer is another node, as this one sees it.
type Peer struct {
	Name          string
	IP, IP6       netip.Addr // overlay addresses
	Groups        []string
	Roles         []identity.Role
	Path          Path
	Endpoint      netip.AddrPort // the underlay address in use, invalid if none
	RTT           time.Duration  // of the last echo through the tunnel, 0 if none
	LastHandshake time.Time      // WireGuard's, zero if none
	RxBytes       int64
	TxBytes       int64
	State         State
	Reason        string // in plain words why the state is not up; empty if it is
}
