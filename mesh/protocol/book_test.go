package protocol

import (
	"crypto/sha256"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestBookHolder: the book knows the envelopes that it has, and forgets those
// that were replaced or dropped.
func TestBookHolder(t *testing.T) {
	b := newBook()
	issued := time.Unix(1_000_000, 0)
	record := func(version uint64) *identity.Signed {
		return &identity.Signed{
			Record:   identity.Record{Node: "a", Version: version, Issued: issued},
			Grant:    identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.2")},
			Envelope: []byte{byte(version)}, Hash: sha256.Sum256([]byte{byte(version)}),
		}
	}
	holds := func(version uint64, want bool) {
		t.Helper()
		if node, ok := b.holder([]byte{byte(version)}); ok != want || ok && node != "a" {
			t.Errorf("version %d: %q, %v; want %v", version, node, ok, want)
		}
	}
	holds(1, false)
	b.put(record(1))
	holds(1, true)
	b.put(record(2))
	holds(1, false)
	holds(2, true)
	b.drop("a")
	holds(2, false)
	if len(b.names) != 0 || len(b.records) != 0 {
		t.Errorf("%d names and %d records are left", len(b.names), len(b.records))
	}
}
