package mesh

import (
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// Limits on everything that others can make grow.
const (
	// maxMembers bounds the records a node keeps, the left ones included.
	maxMembers = 4096
	// maxRequest bounds a request: a record and a revocation list in base64, or
	// names; and some room.
	maxRequest = 4*(identity.MaxRevocations+identity.MaxEnvelope)/3 + maxSmall
	// maxSmall is up to what size a request is read at once. Of larger ones one
	// caller may have one, and all together maxBulky, at a time: the others wait.
	maxSmall = 64 << 10
	maxBulky = 8
	// maxReply bounds an answer. An envelope is about 1 KiB, in base64 a third
	// more, so that this holds the records of maxMembers nodes with some room.
	maxReply = 16 << 20
	// maxNames bounds the records asked for in one request.
	maxNames = 256
	// maxWanted bounds the records of unknown nodes that are said to exist.
	maxWanted = maxMembers
	// maxAsked bounds the members that are asked for records at once.
	maxAsked = 16
	// maxWantTries is how often a record is asked for before the hint is dropped.
	maxWantTries = 8
	// fetchEvery is the least time between two fetches of one node's record.
	fetchEvery = 100 * time.Millisecond
	// maxRefusals is how often the device is set again at once without the
	// endpoints that it refuses.
	maxRefusals = 16
	// maxStreams bounds the TCP connections served at once on the overlay.
	maxStreams = 256
	// maxPerMember bounds those of one member.
	maxPerMember = 32
	// maxStarts bounds the starts of one node that gossip knows at once, each
	// for startFor since it was last heard of.
	maxStarts = 8
	startFor  = time.Minute
	// maxPerGossip bounds those of memberlist, of one member, and maxGossips in all.
	maxPerGossip = 4
	maxGossips   = 32
	// maxGossip bounds the bytes of one of them: a push/pull of maxGossipNodes
	// nodes takes 200 bytes for each, and a summary.
	maxGossip      = 4 << 20
	maxGossipNodes = 2 * maxMembers
	// maxField bounds a field of a node in it: names have up to 80 bytes, metas 64.
	maxField = 128
	// maxMeta bounds a meta in gossip.
	maxMeta = 64
	// maxSummary bounds a summary: maxMembers entries of up to 120 bytes.
	maxSummary = 1 << 20
	// maxPacket bounds a packet of memberlist: ours have up to 1200 bytes and a header.
	maxPacket = 1400
	// packetRate and packetBurst bound the packets of one member per second. Ours
	// send one member 5 rounds of gossip and a few probes per second.
	packetRate  = 200
	packetBurst = 400
	// maxPackets bounds the packets queued for memberlist.
	maxPackets = 1024
	// pushWorkers is how many members a record is pushed to at once.
	pushWorkers = 64
	// lostIntroducers is how long a node with peers waits at least, and half of
	// how long at most, to call introducers that do not answer.
	lostIntroducers = 4 * time.Second
	// requestTimeout bounds one exchange on the overlay.
	requestTimeout = 5 * time.Second
	// connectFor is how long a peer counts as connecting before unreachable.
	connectFor = 10 * time.Second
	// firstRetry is how soon introducers are called again; it doubles up to 15 s.
	firstRetry = 250 * time.Millisecond
	// yieldFor is how much longer one side of each pair waits before it calls the
	// other. If both call at the same moment each drops the other's answer, and
	// WireGuard tries again only after 5 s.
	yieldFor = 500 * time.Millisecond
	// keepalive holds the mappings of NATs open: most forget UDP after 30 s.
	keepalive = 25 * time.Second
	// greetFor is how long after a start even those are called who were away:
	// if all stop at once and start again, each remembers the others as away.
	greetFor = 30 * time.Second
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
