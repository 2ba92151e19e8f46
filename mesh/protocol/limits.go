package protocol

import (
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// Limits on everything that others can make grow.
const (
	// MaxMembers bounds the records a node keeps, the left ones included.
	MaxMembers = 4096
	// MaxRequest bounds a request: a record and a revocation list in base64, or
	// names, or some records; and some room.
	MaxRequest = 4*(identity.MaxRevocations+identity.MaxEnvelope)/3 + MaxSmall
	// MaxSmall is up to what size a message counts as small.
	MaxSmall = 64 << 10
	// MaxReply bounds an answer. An envelope is about 1 KiB, in base64 a third
	// more, so that this holds the records of MaxMembers nodes with some room.
	MaxReply = 16 << 20
	// MaxSummary bounds a summary: MaxMembers entries of up to 120 bytes.
	MaxSummary = 1 << 20
	// maxMeta bounds a meta in gossip.
	maxMeta = 64
	// maxNames bounds the records asked for in one request.
	maxNames = 256
	// maxWanted bounds the records of unknown nodes that are said to exist.
	maxWanted = MaxMembers
	// maxLost bounds the peers that others are asked about in one request.
	maxLost = 32
	// maxJoiners bounds the joiners whose records are pushed in one request, so
	// that it is a small one.
	maxJoiners = 32
	// crowd is how many joiners at once are no longer announced one by one.
	crowd = 4
	// fewLinks is how many can be looked at whenever something happens to one.
	fewLinks = 100
	// maxHanded bounds the records that one introducer hands another in a call.
	maxHanded = 32
	// maxTells is how often a member is handed records that it does not acknowledge.
	maxTells = 3
	// maxAsked bounds the members that are asked for records at once.
	maxAsked = 16
	// maxWantTries is how often a record is asked for before the hint is dropped.
	maxWantTries = 8
	// maxAsks is how often in all, whoever says that it has it.
	maxAsks = 4 * maxWantTries
	// fetchEvery is the least time between two fetches of one node's record.
	fetchEvery = 100 * time.Millisecond
	// maxRefusals is how often the device is set again at once without the
	// endpoints that it refuses.
	maxRefusals = 16
	// maxStarts bounds the starts of one node that gossip knows at once, each
	// for startFor since it was last heard of.
	maxStarts = 8
	startFor  = time.Minute
)

// Probes of all peers together: a second at least, and at once at least.
const (
	minProbeRate = 25
	minBurst     = 16
)

// Times.
const (
	// lostIntroducers is how long a node with peers waits at least, and half of
	// how long at most, to call introducers that do not answer.
	lostIntroducers = 4 * time.Second
	// tellFor is how long a member may take to take records that it is owed: it
	// may be as busy as all are that join at once.
	tellFor = 5 * time.Second
	// hearsayFor is how long at least, and half of how long at most, a node waits
	// for the record of one that it has only heard of in gossip.
	hearsayFor = time.Second
	// aroundEvery is how often at most, and half of how often at least, others are
	// asked about peers that do not answer.
	aroundEvery = time.Second
	// joinersFor is how long nobody else may have come until an introducer lets
	// several joiners in, and crowdFor how long the first of them waits at most.
	joinersFor = 250 * time.Millisecond
	crowdFor   = 1500 * time.Millisecond
	// connectFor is how long a peer counts as connecting before unreachable.
	connectFor = 10 * time.Second
	// firstRetry is how soon introducers are called again; it doubles up to 15 s.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 15 * time.Second
	// yieldFor is how much longer one side of each pair waits before it calls the
	// other. If both call at the same moment each drops the other's answer, and
	// WireGuard tries again only after 5 s.
	yieldFor = 500 * time.Millisecond
	// callerFor is how long a node behind a NAT is left alone by those that are
	// not: it has to call first, or its NAT lets nobody in.
	callerFor = 3 * time.Second
	// keepalive holds the mappings of NATs open: most forget UDP after 30 s.
	keepalive = 25 * time.Second
	// greetFor is how long after a start even those are called who were away:
	// if all stop at once and start again, each remembers the others as away.
	greetFor = 30 * time.Second
	// goodbyeFor is how long a stopping node tells others so.
	goodbyeFor = time.Second
	// observeEvery is how often the device is read at least, with up to 500
	// peers; with more a millisecond for each.
	observeEvery = 500 * time.Millisecond
	// turnRest is how long the links are left alone after they were looked at, for
	// each of them beyond fewLinks, and maxTurnRest at most: by so much later a
	// path that falls silent may be noticed.
	turnRest    = 100 * time.Microsecond
	maxTurnRest = 100 * time.Millisecond
	// lookEvery is how often the host's own addresses are looked at.
	lookEvery = 5 * time.Second
	// saveSoon is how long news of who is in the mesh are collected before they
	// are saved: a node that is killed must still know whom to call.
	saveSoon = 50 * time.Millisecond
	// saveRest is how many times as long as a save took the next one waits, so
	// that a slow disk or a mass join costs a tenth of the time at most.
	saveRest = 10
	// saveRetry is when a save that failed is tried again.
	saveRetry = 15 * time.Second
)
