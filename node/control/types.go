package control

import (
	"path/filepath"
	"time"
)

// DefaultDir is where the sockets of daemons lie.
const DefaultDir = "/run/cbnet"

// DefaultInterface is the interface of a daemon that was told no other.
const DefaultInterface = "cbn0"

// DefaultSocket returns the socket of the daemon that runs an interface.
func DefaultSocket(iface string) string {
	return filepath.Join(DefaultDir, iface+".sock")
}

// PeerState says how a peer is doing at this moment.
type PeerState string

// The states of a peer.
const (
	StateUp          PeerState = "up"          // it answers
	StateConnecting  PeerState = "connecting"  // it is known, no answer yet
	StateUnreachable PeerState = "unreachable" // it answered once, or should, and does not
	StateAway        PeerState = "away"        // it stopped and keeps its place
)

// Phase says how far a daemon has come since its start.
type Phase string

// The phases of a daemon, in their order.
const (
	PhaseEnrolling Phase = "enrolling" // waits for its certificate
	PhaseStarting  Phase = "starting"  // makes the device, looks for peers
	PhaseRunning   Phase = "running"   // has converged once
	PhaseStopping  Phase = "stopping"
)

// Status is the answer of GET /v1/status.
type Status struct {
	Name      string `json:"name"`      // of this node
	Mesh      string `json:"mesh"`      // empty before enrolment
	IP        string `json:"ip"`        // overlay address, empty before enrolment
	IP6       string `json:"ip6"`       // overlay address, empty before enrolment
	Interface string `json:"interface"` // of the tunnel
	Datapath  string `json:"datapath"`  // "kernel" or "userspace", empty before the device is up
	Port      int    `json:"port"`      // UDP port of WireGuard
	Peers     Counts `json:"peers"`

	Phase   Phase      `json:"phase"`
	Version string     `json:"version"`           // of the daemon
	Expires *time.Time `json:"expires,omitempty"` // end of the node's certificate
	Pid     int        `json:"pid"`               // process id of the daemon
}

// Counts are numbers of peers by state.
type Counts struct {
	Up          int `json:"up"`
	Connecting  int `json:"connecting"`
	Unreachable int `json:"unreachable"`
	Away        int `json:"away"`
}

// Count adds one peer in a state. Unknown states count as connecting.
func (c *Counts) Count(s PeerState) {
	switch s {
	case StateUp:
		c.Up++
	case StateUnreachable:
		c.Unreachable++
	case StateAway:
		c.Away++
	default:
		c.Connecting++
	}
}

// Peer is one element of the answer of GET /v1/peers.
type Peer struct {
	Name          string     `json:"name"`
	IP            string     `json:"ip"`
	IP6           string     `json:"ip6"`
	Groups        []string   `json:"groups"`
	Path          string     `json:"path"`          // "private", "public", "punched", "relay", or empty
	Endpoint      string     `json:"endpoint"`      // IP:PORT in use, or empty
	RTTMs         *float64   `json:"rttMs"`         // round trip in milliseconds, null if not measured
	LastHandshake *time.Time `json:"lastHandshake"` // null if there was none
	RxBytes       int64      `json:"rxBytes"`
	TxBytes       int64      `json:"txBytes"`
	State         PeerState  `json:"state"`

	Roles  []string `json:"roles,omitempty"`
	Reason string   `json:"reason,omitempty"` // why it is not up, in plain words
}

// Ping is the answer of POST /v1/ping: one round trip through the tunnel.
type Ping struct {
	Name  string  `json:"name"`
	IP    string  `json:"ip"`    // the overlay address that answered
	RTTMs float64 `json:"rttMs"` // milliseconds
	Via   string  `json:"via"`   // "icmp" or "tcp", what was sent
}

// Renewal is the answer of POST /v1/renew.
type Renewal struct {
	Name    string    `json:"name"`
	Changed bool      `json:"changed"`         // false: that bundle was in use already
	Expires time.Time `json:"expires"`         // end of the node's certificate
	Notes   []string  `json:"notes,omitempty"` // what else is different now, in plain words
}

// Error is an answer of the daemon that says no. Its text is for people.
type Error struct {
	Status  int    `json:"-"`     // HTTP status
	Message string `json:"error"` // what failed, and what to do
}

// Error implements error.
func (e *Error) Error() string { return e.Message }
