package protocol

import (
	"encoding/binary"
	"fmt"
)

// Kinds of echo packets.
const (
	EchoAsk    = 1
	EchoAnswer = 2
)

// Magic is the first byte of everything of ours on the gossip port. Memberlist
// never sends it first: with a label, its packets and streams begin with 244.
const Magic = 0xCB

// Echo is a probe through the tunnel, or its answer:
//
//	byte    Magic
//	byte    format number
//	byte    kind
//	uint64  nonce, the asker's, big endian
//	        meta of the sender
//	uint64  number of the revocation list in force at the sender
type Echo struct {
	Kind        byte
	Nonce       uint64
	Meta        Meta
	Revocations uint64
}

const echoSize = 3 + 8 + metaSize + 8

// Append encodes the echo behind b.
func (e Echo) Append(b []byte) []byte {
	b = append(b, Magic, Format, e.Kind)
	b = binary.BigEndian.AppendUint64(b, e.Nonce)
	b = e.Meta.Append(b)
	return binary.BigEndian.AppendUint64(b, e.Revocations)
}

// ParseEcho reads an echo. Bytes behind it belong to a later version.
func ParseEcho(b []byte) (Echo, error) {
	if len(b) < echoSize || b[0] != Magic || b[1] != Format || b[2] != EchoAsk && b[2] != EchoAnswer {
		return Echo{}, fmt.Errorf("echo of %d bytes: %w", len(b), ErrMalformed)
	}
	m, err := ParseMeta(b[11:])
	if err != nil {
		return Echo{}, err
	}
	return Echo{
		Kind:        b[2],
		Nonce:       binary.BigEndian.Uint64(b[3:]),
		Meta:        m,
		Revocations: binary.BigEndian.Uint64(b[11+metaSize:]),
	}, nil
}
