package sim

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// TestMemo: whatever was opened before, the answer is that of the roots.
func TestMemo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, err := newAuthority(r)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(r)
	cert, err := a.issue(key, identity.Grant{Node: "n", IP: netip.MustParseAddr("10.66.0.1")}, epoch, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	env, err := identity.SignRecord(identity.Record{Node: "n", Version: 1, Issued: epoch, WireGuardKey: identity.Bytes32{9}}, key, cert)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(env)
	forged[len(forged)-1] ^= 1
	list, err := a.revoke(epoch, cert)
	if err != nil {
		t.Fatal(err)
	}
	m := newMemo(a.ca.Certificate)
	for _, revoked := range []bool{false, true} {
		roots, err := identity.NewRoots(a.ca.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if revoked {
			if _, err := roots.Apply(list); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []time.Duration{time.Minute, -48 * time.Hour, 2 * time.Hour, 30 * 365 * 24 * time.Hour, time.Minute} {
			for _, e := range [][]byte{env, forged, env, nil} {
				want, wantErr := roots.OpenRecord(e, epoch.Add(at))
				got, err := m.open(roots, e, epoch.Add(at))
				if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
					t.Fatalf("at %s, revoked %t: got %v, want %v", at, revoked, err, wantErr)
				}
				if err == nil && (got.Hash != want.Hash || got.Record.Version != want.Record.Version || !got.Certificate.Equal(want.Certificate)) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
	}
	if len(m.good) != 1 {
		t.Errorf("%d envelopes kept, want the good one", len(m.good))
	}
}
