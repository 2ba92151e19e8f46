package protocol

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// TestOwnRecordOfAnExpiredCertificate: a node whose clock is behind may still
// hold what this one has signed under its former certificate, for the same key.
// This one outdoes it, or it stands for older there.
func TestOwnRecordOfAnExpiredCertificate(t *testing.T) {
	a, now := newAuthority(t), time.Now()
	_, key, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(key ed25519.PrivateKey, node string, at time.Time) Config {
		cert, err := a.ca.Issue(key.Public().(ed25519.PublicKey), identity.Grant{Node: node, IP: netip.MustParseAddr("10.66.0.1")}, at, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return Config{Roots: a.roots, Certificate: cert, Key: key, PrivateKey: overlay.Key{1}, Port: 51820, Boot: "1", Rand: rand.New(rand.NewPCG(1, 2))}
	}
	tests := []struct {
		name string
		key  ed25519.PrivateKey
		node string
		more int64 // versions above the present one
		want bool  // a newer record is published
	}{
		{"newer", key, "a", 1000, true},
		{"of the same version", key, "a", 0, true},
		{"older", key, "a", -1, false},
		{"under another key", other, "a", 1000, false},
		{"of another node", key, "z", 1000, false},
	}
	for _, tt := range tests {
		m, err := New(issue(key, "a", now), now)
		if err != nil {
			t.Fatal(err)
		}
		m.Step(now, Start{})
		m.Step(now, RecordSaved{})
		was := m.self.Record.Version
		former := issue(tt.key, tt.node, now.Add(-4*time.Hour))
		env, err := identity.SignRecord(identity.Record{
			Node: tt.node, Version: uint64(int64(was) + tt.more), Issued: now, WireGuardKey: identity.Bytes32{9},
		}, tt.key, former.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		m.Step(now, Fetched{From: "b", Reply: Reply{Records: [][]byte{env}}})
		m.Step(now, RecordSaved{})
		if got := m.self.Record.Version; (got > was) != tt.want || tt.want && int64(got) <= int64(was)+tt.more {
			t.Errorf("%s: version %d after %d, newer %t wanted", tt.name, got, was, tt.want)
		}
	}
}
