package protocol

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/overlay"
)

// Action is something to be done, in the order of the actions of a step. One
// that has a result may take its time: the result comes back as an [Event].
type Action interface{ action() }

// SetDevice sets the device to a configuration: at first without the peers in
// Reset, if any, so that WireGuard starts a handshake with them at once. There
// is one at a time. The result is [DeviceSet].
type SetDevice struct {
	Config overlay.Config
	Reset  []Reset
}

// Reset is a peer to be taken out of the device and put back, unless it has been
// heard since: more has come from it than RxBytes. That would end a session that
// has just begun, and of that the other side would know nothing.
type Reset struct {
	Peer    overlay.Key
	RxBytes int64
}

// Due returns those of the peers that have not been heard since, as the device
// says now.
func Due(resets []Reset, now []overlay.PeerStatus) []overlay.Key {
	rx := make(map[overlay.Key]int64, len(now))
	for _, p := range now {
		rx[p.PublicKey] = p.RxBytes
	}
	var due []overlay.Key
	for _, r := range resets {
		if bytes, ok := rx[r.Peer]; ok && bytes <= r.RxBytes {
			due = append(due, r.Peer)
		}
	}
	return due
}

// ReadDevice asks the device for its peers. The result is [DeviceRead].
type ReadDevice struct{}

// ReadAddresses looks at the host's addresses. The result is [AddressesRead].
type ReadAddresses struct{}

// SendEcho sends a packet to an overlay address, at once.
type SendEcho struct {
	To   netip.Addr
	Echo Echo
}

// SendNotice sends a record to an overlay address, at once.
type SendNotice struct {
	To     netip.Addr
	Notice Notice
}

// Fetch asks a member. The result is [Fetched].
type Fetch struct {
	From    string
	To      netip.Addr
	Request Request
}

// Target is a member to whom something is sent.
type Target struct {
	Node string
	To   netip.Addr
}

// Push hands a request to many members within a time. The result is [Pushed].
type Push struct {
	ID      uint64
	To      []Target
	Request Request
	Within  time.Duration
}

// Answer answers a request. If it lingers, [Answered] is to be told once the
// other has closed, or after a second.
type Answer struct {
	ID      uint64
	Reply   Reply
	Refused error // a joiner is not let in, and why
	Lingers bool
}

// SaveRecord writes what must survive so that versions only rise. There is one
// at a time. The result is [RecordSaved]; until then the record is not shown.
type SaveRecord struct {
	Version  uint64
	Observed netip.Addr
}

// SavePeers writes who is to be remembered. There is one at a time. The result
// is [PeersSaved].
type SavePeers struct{ Peers []Remembered }

// SaveList writes the revocation list in force. The result is [ListSaved].
type SaveList struct{ List []byte }

// Announce tells gossip that [Machine.Meta] has changed.
type Announce struct{}

// CallIntroducers calls introducers, a new one each second, until one has let
// this node in: see [Greeted], [Introduced]. Or it calls each of them, all at
// once. The result is [CallEnded].
type CallIntroducers struct {
	Addrs []string
	Each  bool
}

// Introduce is what an introducer that has greeted is asked.
type Introduce struct {
	Call    uint64
	Request Request
}

// JoinGossip joins gossip with members. The result is [GossipJoined].
type JoinGossip struct{ With []netip.AddrPort }

// RestartGossip ends gossip without a word and starts it again under a name. The
// result is [GossipRestarted].
type RestartGossip struct{ Name string }

// Log writes a line. A limited one is caused by others: they must not fill the disk.
type Log struct {
	Level   slog.Level
	Message string
	Args    []any // keys and values
	Limited bool
}

// Metric names a counter.
type Metric string

// The counters.
const (
	MetricRecords Metric = "records" // by verdict
	MetricLists   Metric = "lists"   // by what became of them
	MetricRefused Metric = "refused" // by reason
	MetricFetches Metric = "fetches" // by result
	MetricSets    Metric = "sets"    // by result
)

// Count counts one.
type Count struct {
	Metric Metric
	Label  string
}

// Gauge says how many peers are in each state now, and the number of the
// revocation list in force.
type Gauge struct {
	Peers       map[State]int
	Revocations uint64
}

// Changed says that a peer or its state has.
type Changed struct{}

// Ready says that this node takes part.
type Ready struct{}

// Started is the answer to [Start].
type Started struct{ Err error }

// Done is the answer to [Revoke], [Leave] and [Stop].
type Done struct {
	ID   uint64
	Told int // others who have acknowledged it
	Err  error
}

// End says that this node's own certificate is revoked.
type End struct{ Err error }

func (SetDevice) action()       {}
func (ReadDevice) action()      {}
func (ReadAddresses) action()   {}
func (SendEcho) action()        {}
func (SendNotice) action()      {}
func (Fetch) action()           {}
func (Push) action()            {}
func (Answer) action()          {}
func (SaveRecord) action()      {}
func (SavePeers) action()       {}
func (SaveList) action()        {}
func (Announce) action()        {}
func (CallIntroducers) action() {}
func (Introduce) action()       {}
func (JoinGossip) action()      {}
func (RestartGossip) action()   {}
func (Log) action()             {}
func (Count) action()           {}
func (Gauge) action()           {}
func (Changed) action()         {}
func (Ready) action()           {}
func (Started) action()         {}
func (Done) action()            {}
func (End) action()             {}
