package identity_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cbnet-io/cbnet/identity"
)

func record(version uint64) identity.Record {
	return identity.Record{
		Node: "web-1", Version: version, Issued: now, WireGuardKey: identity.Bytes32{9},
		Endpoints: []identity.Endpoint{{Addr: netip.MustParseAddrPort("192.0.2.1:51820"), Kind: identity.KindPublic}},
		Network:   "aws/ap-northeast-2/shop",
	}
}

func sign(t testing.TB, r identity.Record, b *identity.Bundle) []byte {
	t.Helper()
	env, err := identity.SignRecord(r, b.Key, b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestRecordRoundTrip(t *testing.T) {
	ca := newCA(t, "home")
	b := newBundle(t, ca, grant("web-1", "10.66.0.7"))
	env := sign(t, record(3), b)
	s, err := roots(t, ca).OpenRecord(env, now)
	if err != nil {
		t.Fatal(err)
	}
	want := record(3)
	want.Format = identity.Format
	if d := cmp.Diff(want, s.Record, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Fatal(d)
	}
	if !bytes.Equal(s.Envelope, env) || s.Grant.IP.String() != "10.66.0.7" {
		t.Fatalf("%+v", s)
	}
	t.Logf("a record with one endpoint takes %d bytes", len(env))
}

func TestOpenRecordRefuses(t *testing.T) {
	ca := newCA(t, "home")
	r := roots(t, ca)
	b, liar := newBundle(t, ca, grant("web-1", "10.66.0.7")), newBundle(t, ca, grant("liar", "10.66.0.8"))
	good := sign(t, record(1), b)
	flip := func(i int) []byte {
		e := bytes.Clone(good)
		e[i] ^= 1
		return e
	}
	tests := []struct {
		name string
		env  []byte
		at   time.Time
		want error
	}{
		{"forged payload", flip(20), now, identity.ErrSignature},
		{"forged signature", flip(len(good) - 1), now, identity.ErrSignature},
		{"speaks for another", sign(t, record(1), liar), now, identity.ErrGrant},
		{"other CA", sign(t, record(1), newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))), now, identity.ErrUntrusted},
		{"expired", good, now.Add(48 * time.Hour), identity.ErrExpired},
		{"oversize", make([]byte, identity.MaxEnvelope+1), now, identity.ErrTooLarge},
		{"unknown format", flip(0), now, identity.ErrFormat},
		{"empty", nil, now, identity.ErrFormat},
		{"cut", good[:len(good)-1], now, identity.ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := r.OpenRecord(tt.env, tt.at); !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
		})
	}
	// A list of revocations signed by the CA is no record, though it has the same frame.
	l, err := ca.SignRevocations(identity.RevocationList{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.OpenRecord(l, now); !errors.Is(err, identity.ErrSignature) {
		t.Fatalf("error %v, want ErrSignature", err)
	}
}

func TestSignRecordRefuses(t *testing.T) {
	b := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	tests := []struct {
		name   string
		change func(*identity.Record)
		want   error
	}{
		{"no version", func(r *identity.Record) { r.Version = 0 }, identity.ErrFormat},
		{"no key", func(r *identity.Record) { r.WireGuardKey = identity.Bytes32{} }, identity.ErrFormat},
		{"key of small order", func(r *identity.Record) { r.WireGuardKey = identity.Bytes32{1} }, identity.ErrFormat},
		{"unspecified endpoint", func(r *identity.Record) { r.Endpoints[0].Addr = netip.MustParseAddrPort("0.0.0.0:1") }, identity.ErrFormat},
		{"port 0", func(r *identity.Record) { r.Endpoints[0].Addr = netip.MustParseAddrPort("192.0.2.1:0") }, identity.ErrFormat},
		{"17 endpoints", func(r *identity.Record) {
			for range identity.MaxEndpoints {
				r.Endpoints = append(r.Endpoints, r.Endpoints[0])
			}
		}, identity.ErrTooLarge},
		{"network with newline", func(r *identity.Record) { r.Network = "a\nb" }, identity.ErrFormat},
		{"long network", func(r *identity.Record) { r.Network = strings.Repeat("a", 256) }, identity.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := record(1)
			tt.change(&r)
			if _, err := identity.SignRecord(r, b.Key, b.Certificate); !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	ca := newCA(t, "home")
	r := roots(t, ca)
	b := newBundle(t, ca, grant("web-1", "10.66.0.7"))
	anew := newBundleAt(t, ca, grant("web-1", "10.66.0.7"), now.Add(time.Minute))
	open := func(rec identity.Record, b *identity.Bundle) *identity.Signed {
		t.Helper()
		s, err := r.OpenRecord(sign(t, rec, b), now)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	away := record(2)
	away.Away = true
	tests := []struct {
		name string
		a, b *identity.Signed
		want identity.Order
	}{
		{"newer version", open(record(3), b), open(record(2), b), identity.Newer},
		{"replayed", open(record(2), b), open(record(3), b), identity.Older},
		{"same", open(record(2), b), open(record(2), b), identity.Same},
		{"two of one version", open(away, b), open(record(2), b), identity.Conflict},
		{"name issued anew", open(record(1), anew), open(record(9), b), identity.Newer},
		{"after the name was issued anew", open(record(9), b), open(record(1), anew), identity.Older},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Compare(tt.b); got != tt.want {
				t.Fatalf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func FuzzOpenRecord(f *testing.F) {
	ca := newCA(f, "home")
	r := roots(f, ca)
	b := newBundle(f, ca, grant("web-1", "10.66.0.7"))
	f.Add(sign(f, record(1), b))
	f.Add([]byte{identity.Format, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, env []byte) {
		s, err := r.OpenRecord(env, now)
		if err == nil && s.Grant.Node != s.Record.Node {
			t.Fatalf("record of %q under a certificate of %q", s.Record.Node, s.Grant.Node)
		}
	})
}

func FuzzApply(f *testing.F) {
	ca := newCA(f, "home")
	l, err := ca.SignRevocations(identity.RevocationList{Number: 1, Entries: []identity.Revoked{{Node: "a", Serial: "1f"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(l)
	f.Fuzz(func(t *testing.T, signed []byte) {
		r := roots(t, ca)
		if changed, err := r.Apply(signed); changed && err != nil {
			t.Fatalf("changed and failed: %v", err)
		}
	})
}

// A key that was certified twice speaks under the certificate it signed with:
// nobody may put the other one, of another grant, in its place.
func TestOpenRecordRefusesAnotherCertificateOfTheKey(t *testing.T) {
	ca := newCA(t, "home")
	b := newBundle(t, ca, grant("web-1", "10.66.0.7"))
	older, err := ca.Issue(publicKey(b.Key), identity.Grant{Node: "web-1", IP: netip.MustParseAddr("10.66.0.9")}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	env := sign(t, record(3), b)
	at := bytes.Index(env, b.Certificate.Raw) - 4
	forged := append(bytes.Clone(env[:at]), binary.BigEndian.AppendUint32(nil, uint32(len(older.Raw)))...)
	forged = append(append(forged, older.Raw...), env[len(env)-ed25519.SignatureSize:]...)
	if s, err := roots(t, ca).OpenRecord(forged, now); !errors.Is(err, identity.ErrSignature) {
		t.Fatalf("%+v, %v; want %v", s, err, identity.ErrSignature)
	}
}

// TestOpenOwn: one's own key counts, whatever has become of the certificate.
func TestOpenOwn(t *testing.T) {
	ca := newCA(t, "home")
	b, old := newBundle(t, ca, grant("web-1", "10.66.0.7")), newBundleAt(t, ca, grant("web-1", "10.66.0.7"), now.Add(-100*24*time.Hour))
	forged := sign(t, record(4), old)
	forged[len(forged)-1] ^= 1
	tests := []struct {
		name string
		env  []byte
		own  *identity.Bundle
		want error
	}{
		{"in force", sign(t, record(4), b), b, nil},
		{"expired long ago", sign(t, record(4), old), old, nil},
		{"under another key", sign(t, record(4), old), b, identity.ErrUntrusted},
		{"forged", forged, old, identity.ErrSignature},
		{"empty", nil, b, identity.ErrFormat},
		{"too large", make([]byte, identity.MaxEnvelope+1), b, identity.ErrTooLarge},
	}
	for _, tt := range tests {
		r, err := identity.OpenOwn(tt.env, publicKey(tt.own.Key))
		if !errors.Is(err, tt.want) || err == nil && r.Version != 4 {
			t.Errorf("%s: version %d, %v; want %v", tt.name, r.Version, err, tt.want)
		}
	}
}

func FuzzOpenOwn(f *testing.F) {
	b := newBundle(f, newCA(f, "home"), grant("web-1", "10.66.0.7"))
	f.Add(sign(f, record(1), b))
	f.Add([]byte{identity.Format, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, env []byte) {
		if r, err := identity.OpenOwn(env, publicKey(b.Key)); err == nil && r.Node != "web-1" {
			t.Fatalf("record of %q that this key has not signed", r.Node)
		}
	})
}
