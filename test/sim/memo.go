package sim

import (
	"crypto/sha256"
	"crypto/x509"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// memo has each envelope verified once for all nodes: they all trust the same
// authority, and what a good envelope says never changes. What may change is
// whether its certificates are in force, so that is looked at each time.
// Envelopes that are refused are verified again by everyone.
type memo struct {
	ca   *x509.Certificate
	good map[[32]byte]*identity.Signed // by the hash of the envelope
}

func newMemo(ca *x509.Certificate) memo { return memo{ca, map[[32]byte]*identity.Signed{}} }

// open returns what roots.OpenRecord returns.
func (m memo) open(roots *identity.Roots, envelope []byte, now time.Time) (*identity.Signed, error) {
	hash := sha256.Sum256(envelope)
	if s := m.good[hash]; s != nil && inForce(s.Certificate, now) && inForce(m.ca, now) && !roots.Revoked(s.Certificate) {
		return s, nil
	}
	s, err := roots.OpenRecord(envelope, now)
	if err == nil {
		m.good[hash] = s
	}
	return s, err
}

func inForce(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}
