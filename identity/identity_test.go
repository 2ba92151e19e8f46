package identity_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newCA(t testing.TB, name string) *identity.CA {
	t.Helper()
	m, err := identity.NewMesh(name, identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func grant(node, ip string) identity.Grant {
	return identity.Grant{Node: node, IP: netip.MustParseAddr(ip)}
}

// newBundle issues a bundle for a day.
func newBundle(t testing.TB, ca *identity.CA, g identity.Grant) *identity.Bundle {
	t.Helper()
	return newBundleAt(t, ca, g, now)
}

func roots(t testing.TB, ca *identity.CA) *identity.Roots {
	t.Helper()
	b := newBundle(t, ca, grant("someone", "10.66.0.250"))
	r, err := b.Roots()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publicKey(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }
