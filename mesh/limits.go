package mesh

import (
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
)

// Limits on everything that others can make grow.
const (
	// maxBulky bounds the requests that are read at once and are not small
	// ([protocol.MaxSmall]); of one caller one.
	maxBulky = 8
	// maxStreams bounds the TCP connections served at once on the overlay.
	maxStreams = 256
	// maxPerMember bounds those of one member.
	maxPerMember = 32
	// maxPerGossip bounds those of memberlist, of one member, and maxGossips in all.
	maxPerGossip = 4
	maxGossips   = 32
	// maxGossip bounds the bytes of one of them: a push/pull of maxGossipNodes
	// nodes takes 200 bytes for each, and a summary.
	maxGossip      = 4 << 20
	maxGossipNodes = 2 * protocol.MaxMembers
	// maxField bounds a field of a node in it: names have up to 80 bytes, metas 64.
	maxField = 128
	// maxPacket bounds a packet of memberlist: ours have up to 1200 bytes and a header.
	maxPacket = 1400
	// packetRate and packetBurst bound the packets of one member per second. Ours
	// send one member 3 rounds of gossip and a few probes per second.
	packetRate  = 200
	packetBurst = 400
	// maxPackets bounds the packets queued for memberlist.
	maxPackets = 1024
	// pushWorkers is how many members a record is pushed to at once.
	pushWorkers = 64
	// requestTimeout bounds one exchange on the overlay.
	requestTimeout = 5 * time.Second
	// awayBudget is how long a stopping node tells others so.
	awayBudget = time.Second
)

// Limits of the introducer, per source address where nothing else is said.
const (
	prefaceTimeout   = 3 * time.Second  // for a stranger to show that it is none
	joinTimeout      = 10 * time.Second // for a whole introduction
	maxSkew          = 5 * time.Minute  // between the clocks of joiner and introducer
	maxNonces        = 1 << 16          // prefaces remembered against replay, in all
	maxAtDoor        = 2048             // connections at once, in all; strangers wait apart from those who
	maxIntroductions = 256              // are being introduced, so that a few hosts cannot keep these out
	maxPerSource     = 64               // connections at once: a site behind one NAT may boot at once
	sourceRate       = 20               // connections per second
	sourceBurst      = 128              // connections in a burst
	maxPerCaller     = 2                // introductions at once of one certificate
	callerRate       = 0.5              // introductions per second of one certificate
	callerBurst      = 10               // of these in a burst: a node that fails tries again ever more rarely
	maxSources       = 4096             // sources whose rate is remembered, in all
)
