package protocol

import (
	"encoding/binary"
	"fmt"
	"net/netip"
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
//	        of an answer: 16 bytes and uint16, the endpoint at which the asker
//	        is seen, IPv4 as IPv6 does; zeros if unknown
//
//	uint64  hash of the sender's name in gossip, big endian
//	byte    of an answer: 1 if the sender's gossip holds the asker under the
//	        name that it said, 2 if not; 0 if unknown
//
// The first versions end before the endpoint.
type Echo struct {
	Kind        byte
	Nonce       uint64
	Meta        Meta
	Revocations uint64
	Seen        netip.AddrPort // invalid if unknown
	Start       uint64         // 0 if unknown
	Held        Held
}

// Held says whether a node's gossip holds another one for alive.
type Held byte

// What gossip may say.
const (
	HeldUnknown Held = iota
	HeldAlive
	HeldNot
)

const (
	echoSize = 3 + 8 + metaSize + 8
	seenSize = 16 + 2
	heldSize = 8 + 1
)

// Append encodes the echo behind b.
func (e Echo) Append(b []byte) []byte {
	b = append(b, Magic, Format, e.Kind)
	b = binary.BigEndian.AppendUint64(b, e.Nonce)
	b = e.Meta.Append(b)
	b = binary.BigEndian.AppendUint64(b, e.Revocations)
	var seen [16]byte
	if e.Seen.IsValid() {
		seen = e.Seen.Addr().As16()
	}
	b = append(b, seen[:]...)
	b = binary.BigEndian.AppendUint16(b, e.Seen.Port())
	b = binary.BigEndian.AppendUint64(b, e.Start)
	return append(b, byte(e.Held))
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
	e := Echo{
		Kind:        b[2],
		Nonce:       binary.BigEndian.Uint64(b[3:]),
		Meta:        m,
		Revocations: binary.BigEndian.Uint64(b[11+metaSize:]),
	}
	if b = b[echoSize:]; len(b) >= seenSize {
		a, port := netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[16:])
		if UsableAddr(a) && port != 0 {
			e.Seen = netip.AddrPortFrom(a, port)
		}
		if b = b[seenSize:]; len(b) >= heldSize {
			e.Start = binary.BigEndian.Uint64(b)
			e.Held = min(Held(b[8]), HeldNot)
		}
	}
	return e, nil
}
