package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"

	"github.com/cbnet-io/cbnet/identity"
)

// Format is the format number of everything this package writes.
const Format = 1

// Request is what one node asks of another: a joiner of an introducer, or a
// member of a member. Fields that are not needed stay empty.
type Request struct {
	Format      int      `json:"format"`
	From        string   `json:"from"`                  // name of the asking node, for the log only
	Records     [][]byte `json:"records,omitempty"`     // envelopes for the other to keep
	Names       []string `json:"names,omitempty"`       // nodes whose records are wanted
	Revocations []byte   `json:"revocations,omitempty"` // signed list for the other to apply
	Numbered    uint64   `json:"numbered,omitempty"`    // number of the revocation list in force at the asking node
}

// Reply is the answer to a request. For a push it is sent once the records are
// in the answering node's device: it is the acknowledgement. An introducer also
// begins with one, which holds nothing but the joiner's address.
type Reply struct {
	Format       int        `json:"format"`
	Error        string     `json:"error,omitempty"`
	Records      [][]byte   `json:"records,omitempty"`
	Revocations  []byte     `json:"revocations,omitempty"`  // if newer than the asking node's
	Acknowledged []string   `json:"acknowledged,omitempty"` // nodes that have programmed the joiner
	Observed     netip.Addr `json:"observed,omitzero"`      // source address of the joiner
}

// WriteFrame sends a value as JSON behind its length: four bytes, big endian.
func WriteFrame(w io.Writer, v any, limit int) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(b) > limit {
		return fmt.Errorf("message of %d bytes, more than %d: %w", len(b), limit, ErrMalformed)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

// ReadSize receives the length of what WriteFrame sent.
func ReadSize(r io.Reader, limit int) (int64, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(limit) {
		return 0, fmt.Errorf("message of %d bytes, more than %d: %w: %w", n, limit, ErrMalformed, ErrTooLarge)
	}
	return n, nil
}

// readBody receives what WriteFrame sent, behind its length. Memory grows with
// the bytes that arrive, never with the length that was promised.
func readBody(r io.Reader, n int64, v any) error {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, n); err != nil {
		return err
	}
	if err := json.Unmarshal(b.Bytes(), v); err != nil {
		return fmt.Errorf("%w: want JSON", ErrMalformed)
	}
	return nil
}

// ReadRequest receives and checks a request of n bytes.
func ReadRequest(r io.Reader, n int64) (Request, error) {
	var q Request
	if err := readBody(r, n, &q); err != nil {
		return q, err
	}
	switch {
	case q.Format != Format:
		return q, fmt.Errorf("request format %d: %w", q.Format, ErrMalformed)
	case len(q.Names) > maxNames || len(q.Records) > maxNames:
		return q, fmt.Errorf("request for %d names with %d records: %w", len(q.Names), len(q.Records), ErrMalformed)
	}
	return q, nil
}

// MaxAnswer bounds the answer to a request for the records of some nodes.
func MaxAnswer(names int) int {
	return 4*(identity.MaxRevocations+names*identity.MaxEnvelope)/3 + MaxSmall
}

// ReadReply receives and checks an answer of at most limit bytes.
func ReadReply(r io.Reader, limit int) (Reply, error) {
	var p Reply
	n, err := ReadSize(r, limit)
	if err != nil {
		return p, err
	}
	if err := readBody(r, n, &p); err != nil {
		return p, err
	}
	switch {
	case p.Format != Format:
		return p, fmt.Errorf("answer format %d: %w", p.Format, ErrMalformed)
	case len(p.Records) > MaxMembers || len(p.Acknowledged) > MaxMembers:
		return p, fmt.Errorf("answer with %d records, %d names: %w", len(p.Records), len(p.Acknowledged), ErrMalformed)
	case p.Error != "":
		return p, fmt.Errorf("refused: %.300q", p.Error)
	}
	return p, nil
}
