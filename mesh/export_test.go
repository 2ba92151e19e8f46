package mesh

import "io"

// What tests that speak the wire formats themselves need.
var (
	NewPreface = newPreface
	WriteFrame = writeFrame
	// GossipConfig is how memberlist works.
	GossipConfig = gossipConfig
)

// ReadReply receives an answer.
func ReadReply(r io.Reader) (reply, error) { return readReply(r, maxReply) }

// PrefaceSize is the length of a preface.
const PrefaceSize = prefaceSize

// Magic begins streams of ours on the gossip port.
const Magic = magic

// MaxRequest bounds a request.
const MaxRequest = maxRequest

// Request is what is asked on the wire.
type Request = request
