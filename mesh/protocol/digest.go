package protocol

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/identity"
)

// Digest stands for a record in gossip: enough to see whether one has it.
type Digest struct {
	Version uint64
	Hash    [16]byte // the first half of the envelope's
}

func digestOf(s *identity.Signed) Digest {
	return Digest{Version: s.Record.Version, Hash: [16]byte(s.Hash[:16])}
}

// Flags of a meta. They only spare others a fetch; the record decides.
const (
	flagAway = 1 << iota
	flagLeft
)

// metaSize is the size of an encoded meta: small, since the time a mass join
// takes grows with it.
const metaSize = 1 + 1 + 8 + 8 + 16

// Meta is what memberlist carries for a member, and what an echo says of its
// sender:
//
//	byte    format number
//	byte    flags
//	uint64  hash of the node's name, big endian
//	uint64  version of its record
//	        first 16 bytes of the record's hash
type Meta struct {
	Flags  byte
	Name   uint64
	Digest Digest
}

func metaOf(s *identity.Signed) Meta {
	m := Meta{Name: nameHash(s.Grant.Node), Digest: digestOf(s)}
	if s.Record.Away {
		m.Flags |= flagAway
	}
	if s.Record.Left {
		m.Flags |= flagLeft
	}
	return m
}

func nameHash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never errs
	return h.Sum64()
}

// Append encodes the meta behind b.
func (m Meta) Append(b []byte) []byte {
	b = append(b, Format, m.Flags)
	b = binary.BigEndian.AppendUint64(b, m.Name)
	b = binary.BigEndian.AppendUint64(b, m.Digest.Version)
	return append(b, m.Digest.Hash[:]...)
}

// ParseMeta reads a meta. Bytes behind it belong to a later version.
func ParseMeta(b []byte) (Meta, error) {
	if len(b) < metaSize || b[0] != Format {
		return Meta{}, fmt.Errorf("meta of %d bytes: %w", len(b), ErrMalformed)
	}
	return Meta{
		Flags:  b[1],
		Name:   binary.BigEndian.Uint64(b[2:]),
		Digest: Digest{Version: binary.BigEndian.Uint64(b[10:]), Hash: [16]byte(b[18:34])},
	}, nil
}

// missing returns the names whose records are newer in the other's summary, or
// of one version but different, sorted.
func missing(mine, others map[string]Digest) []string {
	var names []string
	for name, o := range others {
		if m, ok := mine[name]; !ok || o.Version > m.Version || o.Version == m.Version && o.Hash != m.Hash {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// GossipName is a node's name in memberlist. It holds the time of the start, so
// that a restarted or evicted node is a new member at once.
func GossipName(node, boot string) string { return node + "." + boot }

// splitGossipName returns the node and the start in a gossip name.
func splitGossipName(s string) (node, boot string, err error) {
	node, boot, ok := strings.Cut(s, ".")
	if !ok || len(boot) == 0 || len(boot) > 16 {
		return "", "", fmt.Errorf("gossip name %.80q: %w", s, ErrMalformed)
	}
	return node, boot, identity.ParseName(node)
}
