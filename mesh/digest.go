package mesh

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/identity"
)

// digest stands for a record in gossip: enough to see whether one has it.
type digest struct {
	version uint64
	hash    [16]byte // the first half of the envelope's
}

func digestOf(s *identity.Signed) digest {
	return digest{version: s.Record.Version, hash: [16]byte(s.Hash[:16])}
}

// Flags of a meta. They only spare others a fetch; the record decides.
const (
	flagAway = 1 << iota
	flagLeft
)

// metaSize is the size of an encoded meta: small, since the time a mass join
// takes grows with it.
const metaSize = 1 + 1 + 8 + 8 + 16

// meta is what memberlist carries for a member, and what an echo says of its
// sender:
//
//	byte    format number
//	byte    flags
//	uint64  hash of the node's name, big endian
//	uint64  version of its record
//	        first 16 bytes of the record's hash
type meta struct {
	flags  byte
	name   uint64
	digest digest
}

func metaOf(s *identity.Signed) meta {
	m := meta{name: nameHash(s.Grant.Node), digest: digestOf(s)}
	if s.Record.Away {
		m.flags |= flagAway
	}
	if s.Record.Left {
		m.flags |= flagLeft
	}
	return m
}

func nameHash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never errs
	return h.Sum64()
}

func (m meta) append(b []byte) []byte {
	b = append(b, format, m.flags)
	b = binary.BigEndian.AppendUint64(b, m.name)
	b = binary.BigEndian.AppendUint64(b, m.digest.version)
	return append(b, m.digest.hash[:]...)
}

// parseMeta reads a meta. Bytes behind it belong to a later version.
func parseMeta(b []byte) (meta, error) {
	if len(b) < metaSize || b[0] != format {
		return meta{}, fmt.Errorf("meta of %d bytes: %w", len(b), errMessage)
	}
	return meta{
		flags:  b[1],
		name:   binary.BigEndian.Uint64(b[2:]),
		digest: digest{version: binary.BigEndian.Uint64(b[10:]), hash: [16]byte(b[18:34])},
	}, nil
}

// Kinds of echo packets.
const (
	echoAsk    = 1
	echoAnswer = 2
)

// magic is the first byte of everything of ours on the gossip port. Memberlist
// never sends it first: with a label, its packets and streams begin with 244.
const magic = 0xCB

// echo is a probe through the tunnel, or its answer:
//
//	byte    magic
//	byte    format number
//	byte    kind
//	uint64  nonce, the asker's, big endian
//	        meta of the sender
//	uint64  number of the revocation list in force at the sender
type echo struct {
	kind        byte
	nonce       uint64
	meta        meta
	revocations uint64
}

const echoSize = 3 + 8 + metaSize + 8

func (e echo) append(b []byte) []byte {
	b = append(b, magic, format, e.kind)
	b = binary.BigEndian.AppendUint64(b, e.nonce)
	b = e.meta.append(b)
	return binary.BigEndian.AppendUint64(b, e.revocations)
}

// parseEcho reads an echo. Bytes behind it belong to a later version.
func parseEcho(b []byte) (echo, error) {
	if len(b) < echoSize || b[0] != magic || b[1] != format || b[2] != echoAsk && b[2] != echoAnswer {
		return echo{}, fmt.Errorf("echo of %d bytes: %w", len(b), errMessage)
	}
	m, err := parseMeta(b[11:])
	if err != nil {
		return echo{}, err
	}
	return echo{
		kind:        b[2],
		nonce:       binary.BigEndian.Uint64(b[3:]),
		meta:        m,
		revocations: binary.BigEndian.Uint64(b[11+metaSize:]),
	}, nil
}

// summary is the state that members exchange in a push/pull: what each has of
// everyone, so that whatever was missed heals.
type summary struct {
	from        string
	revocations uint64
	records     map[string]digest
}

type summaryJSON struct {
	Format      int                       `json:"format"`
	From        string                    `json:"from"`
	Revocations uint64                    `json:"revocations,omitempty"`
	Records     map[string]summaryElement `json:"records"`
}

type summaryElement struct {
	Version uint64 `json:"v"`
	Hash    string `json:"h"` // base64url without padding
}

func (s summary) marshal() ([]byte, error) {
	j := summaryJSON{Format: format, From: s.from, Revocations: s.revocations, Records: make(map[string]summaryElement, len(s.records))}
	for name, d := range s.records {
		j.Records[name] = summaryElement{d.version, base64.RawURLEncoding.EncodeToString(d.hash[:])}
	}
	return json.Marshal(j)
}

// parseSummary reads a summary of at most maxMembers well-formed entries.
func parseSummary(b []byte) (summary, error) {
	var j summaryJSON
	if len(b) > maxReply {
		return summary{}, fmt.Errorf("summary of %d bytes: %w", len(b), errMessage)
	}
	if err := json.Unmarshal(b, &j); err != nil || j.Format != format || len(j.Records) > maxMembers {
		return summary{}, fmt.Errorf("summary of %d bytes: %w", len(b), errMessage)
	}
	if err := identity.ParseName(j.From); err != nil {
		return summary{}, fmt.Errorf("summary: %w: %w", errMessage, err)
	}
	s := summary{from: j.From, revocations: j.Revocations, records: make(map[string]digest, len(j.Records))}
	for name, e := range j.Records {
		h, err := base64.RawURLEncoding.DecodeString(e.Hash)
		if err != nil || len(h) != 16 || identity.ParseName(name) != nil {
			return summary{}, fmt.Errorf("summary entry %.80q: %w", name, errMessage)
		}
		s.records[name] = digest{e.Version, [16]byte(h)}
	}
	return s, nil
}

// missing returns the names whose records are newer in the other's summary, or
// of one version but different, sorted.
func missing(mine, others map[string]digest) []string {
	var names []string
	for name, o := range others {
		if m, ok := mine[name]; !ok || o.version > m.version || o.version == m.version && o.hash != m.hash {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// gossipName is a node's name in memberlist. It holds the time of the start, so
// that a restarted or evicted node is a new member at once.
func gossipName(node, boot string) string { return node + "." + boot }

// splitGossipName returns the node and the start in a gossip name.
func splitGossipName(s string) (node, boot string, err error) {
	node, boot, ok := strings.Cut(s, ".")
	if !ok || len(boot) == 0 || len(boot) > 16 {
		return "", "", fmt.Errorf("gossip name %.80q: %w", s, errMessage)
	}
	return node, boot, identity.ParseName(node)
}
