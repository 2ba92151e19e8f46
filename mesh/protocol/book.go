package protocol

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// book holds the newest verified record of every other node, the left ones
// included: without them an older record would bring a node back.
type book struct {
	records map[string]*identity.Signed // by node
	names   map[[32]byte]string         // of their nodes, by the hash of the envelope
}

// verdict is what became of a record.
type verdict string

const (
	verdictNew      verdict = "new"      // of a node unknown so far
	verdictNewer    verdict = "newer"    // replaces the one we had
	verdictKnown    verdict = "known"    // we have it
	verdictOlder    verdict = "older"    // than the one we have
	verdictConflict verdict = "conflict" // of the version we have, but different: neither replaces the other
	verdictFull     verdict = "full"     // over MaxMembers
)

func newBook() *book {
	return &book{records: make(map[string]*identity.Signed), names: make(map[[32]byte]string)}
}

// holder returns whose record the envelope is if the book has this very one, so
// that it need not be verified again: while nodes join, two of three come twice.
func (b *book) holder(envelope []byte) (node string, ok bool) {
	node, ok = b.names[sha256.Sum256(envelope)]
	return node, ok
}

func (b *book) put(s *identity.Signed) {
	b.drop(s.Grant.Node)
	b.records[s.Grant.Node], b.names[s.Hash] = s, s.Grant.Node
}

func (b *book) drop(node string) {
	if s := b.records[node]; s != nil {
		delete(b.names, s.Hash)
		delete(b.records, node)
	}
}

// judge says what add would do with a record.
func (b *book) judge(s *identity.Signed) verdict {
	have, ok := b.records[s.Grant.Node]
	switch {
	case !ok && len(b.records) >= MaxMembers && b.oldestLeft() == "":
		return verdictFull
	case !ok:
		return verdictNew
	}
	switch s.Compare(have) {
	case identity.Newer:
		return verdictNewer
	case identity.Older:
		return verdictOlder
	case identity.Conflict:
		return verdictConflict
	}
	return verdictKnown
}

// add takes a verified record if it is new or newer.
func (b *book) add(s *identity.Signed) verdict {
	v := b.judge(s)
	if v == verdictNew && len(b.records) >= MaxMembers {
		b.drop(b.oldestLeft())
	}
	if v == verdictNew || v == verdictNewer {
		b.put(s)
	}
	return v
}

// oldestLeft returns who left first of those whose records are kept, "" if
// nobody: in a full book such a record gives way to a node that is here.
func (b *book) oldestLeft() string {
	oldest := ""
	for name, s := range b.records {
		if !s.Record.Left {
			continue
		}
		if oldest == "" || cmp.Or(s.Record.Issued.Compare(b.records[oldest].Record.Issued), cmp.Compare(name, oldest)) < 0 {
			oldest = name
		}
	}
	return oldest
}

// prune drops the records that roots no longer stands behind as of now, and
// returns why, by node.
func (b *book) prune(roots *identity.Roots, now time.Time) map[string]error {
	dropped := map[string]error{}
	for name, s := range b.records {
		var why error
		switch {
		case roots.Revoked(s.Certificate):
			why = identity.ErrRevoked
		case now.After(s.Certificate.NotAfter):
			why = identity.ErrExpired
		default:
			continue
		}
		dropped[name] = why
		b.drop(name)
	}
	return dropped
}

// digests returns what the book has of everyone.
func (b *book) digests() map[string]Digest {
	m := make(map[string]Digest, len(b.records)+1)
	for name, s := range b.records {
		m[name] = digestOf(s)
	}
	return m
}

// clash is a record that may not be used since another has a better claim.
type clash struct {
	name   string
	reason string
	holder string // of the WireGuard key that both claim; empty if that is not it
}

// resolve decides who may be in the device: everyone who has not left, less
// those whose overlay address or WireGuard key is this node's own or belongs to
// someone with a better claim. For addresses that is precedence; so it is for
// keys, but whoever has proved to hold the key comes first: a grant says
// nothing of keys, and a liar may copy one; claim is lower for the better claim. The result does not depend on the
// order of the records, and is sorted by name.
func resolve(self *identity.Signed, records map[string]*identity.Signed, claim func(*identity.Signed) int64) (members []*identity.Signed, refused []clash) {
	ordered := make([]*identity.Signed, 0, len(records))
	for _, s := range records {
		if !s.Record.Left && s.Grant.Node != self.Grant.Node {
			ordered = append(ordered, s)
		}
	}
	slices.SortFunc(ordered, precedence)
	addrs := map[netip.Addr]string{self.Grant.IP: self.Grant.Node, self.Grant.IP6: self.Grant.Node}
	ordered = slices.DeleteFunc(ordered, func(s *identity.Signed) bool {
		name := s.Grant.Node
		for _, a := range []netip.Addr{s.Grant.IP, s.Grant.IP6} {
			if addrs[a] != "" {
				refused = append(refused, clash{name: name, reason: fmt.Sprintf("overlay address %s is also granted to %s", a, addrs[a])})
				return true
			}
		}
		addrs[s.Grant.IP], addrs[s.Grant.IP6] = name, name
		return false
	})
	slices.SortStableFunc(ordered, func(a, b *identity.Signed) int { return cmp.Compare(claim(a), claim(b)) })
	keys := map[[32]byte]string{self.Record.WireGuardKey: self.Grant.Node}
	for _, s := range ordered {
		if holder := keys[s.Record.WireGuardKey]; holder != "" {
			refused = append(refused, clash{s.Grant.Node, "claims the WireGuard key of " + holder, holder})
			continue
		}
		keys[s.Record.WireGuardKey] = s.Grant.Node
		members = append(members, s)
	}
	slices.SortFunc(members, func(a, b *identity.Signed) int { return cmp.Compare(a.Grant.Node, b.Grant.Node) })
	slices.SortFunc(refused, func(a, b clash) int { return cmp.Compare(a.name, b.name) })
	return members, refused
}

// precedence puts the better claim first: the certificate issued last, as the
// authority's last word; between equals the smaller fingerprint.
func precedence(a, b *identity.Signed) int {
	if c := b.Certificate.NotBefore.Compare(a.Certificate.NotBefore); c != 0 {
		return c
	}
	fa, fb := sha256.Sum256(a.Certificate.Raw), sha256.Sum256(b.Certificate.Raw)
	return bytes.Compare(fa[:], fb[:])
}
