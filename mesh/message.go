package mesh

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/cbnet-io/cbnet/identity"
)

// format is the format number of everything this package writes.
const format = 1

// Faults of what comes from others.
var (
	// errMessage is wrapped by every decoder of foreign bytes.
	errMessage = errors.New("malformed message")
	// errTooLarge is wrapped, too, where a limit is the reason.
	errTooLarge = errors.New("too large")
)

// request is what one node asks of another: a joiner of an introducer, or a
// member of a member. Fields that are not needed stay empty.
type request struct {
	Format      int      `json:"format"`
	From        string   `json:"from"`                  // name of the asking node, for the log only
	Records     [][]byte `json:"records,omitempty"`     // envelopes for the other to keep
	Names       []string `json:"names,omitempty"`       // nodes whose records are wanted
	Revocations []byte   `json:"revocations,omitempty"` // signed list for the other to apply
	Numbered    uint64   `json:"numbered,omitempty"`    // number of the revocation list in force at the asking node
}

// reply is the answer to a request. For a push it is sent once the records are
// in the answering node's device: it is the acknowledgement. An introducer also
// begins with one, which holds nothing but the joiner's address.
type reply struct {
	Format       int        `json:"format"`
	Error        string     `json:"error,omitempty"`
	Records      [][]byte   `json:"records,omitempty"`
	Revocations  []byte     `json:"revocations,omitempty"`  // if newer than the asking node's
	Acknowledged []string   `json:"acknowledged,omitempty"` // nodes that have programmed the joiner
	Observed     netip.Addr `json:"observed,omitzero"`      // source address of the joiner
}

// writeFrame sends a value as JSON behind its length: four bytes, big endian.
func writeFrame(w io.Writer, v any, limit int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(b) > limit {
		return fmt.Errorf("message of %d bytes, more than %d: %w", len(b), limit, errMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

// readSize receives the length of what writeFrame sent.
func readSize(r io.Reader, limit int) (int64, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(limit) {
		return 0, fmt.Errorf("message of %d bytes, more than %d: %w: %w", n, limit, errMessage, errTooLarge)
	}
	return n, nil
}

// readBody receives what writeFrame sent, behind its length. Memory grows with
// the bytes that arrive, never with the length that was promised.
func readBody(r io.Reader, n int64, v any) error {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, n); err != nil {
		return err
	}
	if err := json.Unmarshal(b.Bytes(), v); err != nil {
		return fmt.Errorf("%w: want JSON", errMessage)
	}
	return nil
}

// readRequest receives and checks a request of n bytes.
func readRequest(r io.Reader, n int64) (request, error) {
	var q request
	if err := readBody(r, n, &q); err != nil {
		return q, err
	}
	switch {
	case q.Format != format:
		return q, fmt.Errorf("request format %d: %w", q.Format, errMessage)
	case len(q.Names) > maxNames || len(q.Records) > maxNames:
		return q, fmt.Errorf("request for %d names with %d records: %w", len(q.Names), len(q.Records), errMessage)
	}
	return q, nil
}

// maxAnswer bounds the answer to a request for the records of some nodes.
func maxAnswer(names int) int {
	return 4*(identity.MaxRevocations+names*identity.MaxEnvelope)/3 + maxSmall
}

// readReply receives and checks an answer of at most limit bytes.
func readReply(r io.Reader, limit int) (reply, error) {
	var p reply
	n, err := readSize(r, limit)
	if err != nil {
		return p, err
	}
	if err := readBody(r, n, &p); err != nil {
		return p, err
	}
	switch {
	case p.Format != format:
		return p, fmt.Errorf("answer format %d: %w", p.Format, errMessage)
	case len(p.Records) > maxMembers || len(p.Acknowledged) > maxMembers:
		return p, fmt.Errorf("answer with %d records, %d names: %w", len(p.Records), len(p.Acknowledged), errMessage)
	case p.Error != "":
		return p, fmt.Errorf("refused: %.300q", p.Error)
	}
	return p, nil
}
