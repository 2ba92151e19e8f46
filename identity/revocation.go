package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"
)

// RevocationList names every certificate that was revoked and has not yet
// expired. A list is complete: the newest one replaces all before it.
type RevocationList struct {
	Format  int       `json:"format"`
	Mesh    string    `json:"mesh"`
	Number  uint64    `json:"number"` // only rises
	Issued  time.Time `json:"issued"`
	Entries []Revoked `json:"entries"`
}

// Revoked is one revoked certificate.
type Revoked struct {
	Node    string    `json:"node"`
	Serial  string    `json:"serial"`  // hex, see SerialOf
	Expires time.Time `json:"expires"` // after that the entry may be dropped
}

// SignRevocations signs a list. It sets the list's format and mesh.
func (c *CA) SignRevocations(l RevocationList) ([]byte, error) {
	l.Format, l.Mesh = Format, c.Mesh.Name
	if l.Number == 0 {
		return nil, fmt.Errorf("revocation list without a number: %w", ErrFormat)
	}
	payload, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encode revocation list: %w", err)
	}
	b := seal(contextRevocations, payload, c.key, c.Certificate)
	if len(b) > MaxRevocations {
		return nil, fmt.Errorf("revocation list of %d bytes: %w", len(b), ErrTooLarge)
	}
	return b, nil
}

// Apply puts a signed list in force. It reports whether that changed anything:
// the list in force again is no error, an older one is ErrOutdated, and one of
// the same number with other content is refused (ErrSignature is not enough to
// trust it: the authority signed two).
func (r *Roots) Apply(signed []byte) (changed bool, err error) {
	l, err := r.openRevocations(signed)
	if err != nil {
		return false, fmt.Errorf("revocation list: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case l.Number < r.list.Number:
		return false, fmt.Errorf("revocation list %d, have %d: %w", l.Number, r.list.Number, ErrOutdated)
	case l.Number == r.list.Number && bytes.Equal(signed, r.signed):
		return false, nil
	case l.Number == r.list.Number:
		return false, fmt.Errorf("revocation list %d differs from the one in force, as if there were two copies of the authority: %w", l.Number, ErrTaken)
	}
	r.list, r.signed = l, bytes.Clone(signed)
	r.revoked = make(map[string]bool, len(l.Entries))
	for _, e := range l.Entries {
		r.revoked[e.Serial] = true
	}
	return true, nil
}

func (r *Roots) openRevocations(signed []byte) (l RevocationList, err error) {
	payload, cert, err := open(contextRevocations, signed, MaxRevocations)
	if err != nil {
		return l, err
	}
	if !r.isCA(cert) {
		return l, ErrUntrusted
	}
	if err := json.Unmarshal(payload, &l); err != nil {
		return l, ErrFormat
	}
	if l.Format != Format || l.Mesh != r.mesh.Name || l.Number == 0 {
		return l, fmt.Errorf("format %d, mesh %.80q, number %d: %w", l.Format, l.Mesh, l.Number, ErrFormat)
	}
	return l, nil
}

func (r *Roots) isCA(cert *x509.Certificate) bool {
	for _, ca := range r.cas {
		if ca.Equal(cert) {
			return true
		}
	}
	return false
}

// Revocations returns the signed list in force, nil if there is none.
func (r *Roots) Revocations() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.signed
}

// RevocationNumber returns the number of the list in force, 0 if there is none.
func (r *Roots) RevocationNumber() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.list.Number
}
