package mesh

// What tests that speak the wire formats themselves need.
var (
	NewPreface = newPreface
	WriteFrame = writeFrame
	ReadReply  = readReply
)

// PrefaceSize is the length of a preface.
const PrefaceSize = prefaceSize

// Magic begins streams of ours on the gossip port.
const Magic = magic

// MaxRequest bounds a request.
const MaxRequest = maxRequest

// Request is what is asked on the wire.
type Request = request
