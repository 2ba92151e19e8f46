package protocol

import (
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// Event is something that has happened: time, a packet, or the result of an
// [Action].
type Event interface{ apply(*Machine) }

// Start is the first event: what the last run left, and the host's addresses.
// The answer is [Started] once the own record stands and the device is set.
type Start struct {
	Saved     Saved
	Addresses []netip.Prefix
}

// Saved is what survives a run. Nothing in it is trusted: envelopes and list
// are verified, and a version that is too low is found out by others.
type Saved struct {
	Version  uint64     // of the own record
	Observed netip.Addr // where an introducer saw this node, invalid if unknown
	List     []byte     // the signed revocation list, nil if none
	Peers    []Remembered
}

// Remembered is a peer as it is kept for the next run.
type Remembered struct {
	Envelope []byte
	Endpoint netip.AddrPort // where it answered last, invalid if unknown
}

// Opened says that the sockets are open: from now on packets can be sent.
type Opened struct{}

// Tick says that time has passed. It is due at [Machine.Next].
type Tick struct{}

// EchoReceived is a probe or its answer, from an overlay address.
type EchoReceived struct {
	From netip.Addr
	Echo Echo
}

// NoticeReceived is a record in a packet, from an overlay address.
type NoticeReceived struct {
	From   netip.Addr
	Notice Notice
}

// RequestReceived is what a member asks. It is answered by an [Answer] of the
// same ID.
type RequestReceived struct {
	ID      uint64
	From    netip.Addr
	Request Request
}

// Answered says that an [Answer] that lingers has arrived.
type Answered struct{ ID uint64 }

// JoinerReceived is what a joiner asks an introducer: by TLS, under a verified
// certificate. It is answered by an [Answer] of the same ID.
type JoinerReceived struct {
	ID          uint64
	Certificate *x509.Certificate
	Request     Request
}

// Fetched is the result of a [Fetch].
type Fetched struct {
	From  string
	Reply Reply
	Err   error
}

// Pushed is the result of a [Push]: who has acknowledged it.
type Pushed struct {
	ID           uint64
	Acknowledged []string
}

// SummaryReceived is what another member has of everyone.
type SummaryReceived struct{ Summary Summary }

// Member is a member as gossip describes it. Nothing of it is believed.
type Member struct {
	Name string // see GossipName
	Addr netip.Addr
	Port uint16
	Meta []byte
}

// MemberSeen is what gossip says of a member; see [Machine.Judge], too.
type MemberSeen struct{ Member Member }

// MemberJoined and MemberLost say whom gossip holds for alive, by gossip name.
type (
	MemberJoined struct{ Name string }
	MemberLost   struct{ Name string }
)

// GossipJoined is the result of a [JoinGossip].
type GossipJoined struct{}

// GossipRestarted is the result of a [RestartGossip].
type GossipRestarted struct{ Err error }

// DeviceRead is the result of a [ReadDevice].
type DeviceRead struct {
	Peers []overlay.PeerStatus
	Err   error
}

// DeviceSet is the result of a [SetDevice]. An error that names single
// endpoints as its reason has them in Refused.
type DeviceSet struct {
	Err      error
	Refused  []Refusal
	Canceled bool // the node is ending, and the error says no more than that
}

// Refusal is an endpoint that the device takes for no peer.
type Refusal struct {
	Peer     overlay.Key
	Endpoint netip.AddrPort
	Reason   string
}

// AddressesRead is the result of a [ReadAddresses].
type AddressesRead struct {
	Addresses []netip.Prefix
	Err       error
}

// Greeted is what an introducer says first: where it sees this node. It is
// answered by an [Introduce] of the same Call.
type Greeted struct {
	Call     uint64
	Observed netip.Addr
}

// Introduced says that an introducer has let this node in.
type Introduced struct {
	By    string
	Reply Reply
}

// CallEnded is the result of a [CallIntroducers]: no error if one has let this
// node in, or each of them. Met says who has, if each was called.
type CallEnded struct {
	Met []string
	Err error
}

// RecordSaved, PeersSaved and ListSaved are the results of saves.
type (
	RecordSaved struct{ Err error }
	PeersSaved  struct {
		Err  error
		Took time.Duration
	}
	ListSaved struct{ Err error }
)

// Revoke puts a signed revocation list in force and hands it to everyone. It
// is answered by a [Done] of the same ID.
type Revoke struct {
	ID   uint64
	List []byte
}

// Leave gives this node's place up, Stop says that it is away. They are
// answered by a [Done] of the same ID once the others were told.
type (
	Leave struct{ ID uint64 }
	Stop  struct{ ID uint64 }
)
