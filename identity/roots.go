package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Roots is whom a node trusts: the mesh's certificate authorities, less what
// they have revoked. It is safe for concurrent use.
type Roots struct {
	cas    []*x509.Certificate
	pool   *x509.CertPool
	mesh   Mesh
	hashes [][32]byte // of cas

	mu      sync.RWMutex // guards the fields below
	list    RevocationList
	signed  []byte          // list as it came
	revoked map[string]bool // by serial
}

// NewRoots trusts the given authorities, which must all be of one mesh: of one
// name and with the same prefixes. While a mesh changes from one authority to
// the next, that is more than one.
func NewRoots(cas ...*x509.Certificate) (*Roots, error) {
	if len(cas) == 0 || len(cas) > MaxCAs {
		return nil, fmt.Errorf("%d CA certificates: want 1 to %d", len(cas), MaxCAs)
	}
	r := &Roots{cas: cas, pool: x509.NewCertPool()}
	for i, ca := range cas {
		m, err := meshOf(ca)
		if err != nil {
			return nil, err
		}
		if i > 0 && m != r.mesh {
			return nil, fmt.Errorf("CA certificates are of different meshes: %s and %s", r.mesh, m)
		}
		r.mesh = m
		r.pool.AddCert(ca)
		r.hashes = append(r.hashes, sha256.Sum256(ca.Raw))
	}
	return r, nil
}

// Mesh returns the parameters all nodes share.
func (r *Roots) Mesh() Mesh { return r.mesh }

// CAs returns the trusted authorities.
func (r *Roots) CAs() []*x509.Certificate { return r.cas }

// CAHash returns the SHA-256 of the first authority's certificate, which
// tokens pin.
func (r *Roots) CAHash() [32]byte { return r.hashes[0] }

// CAHashes returns the SHA-256 of each authority's certificate, in the order
// of CAs. Who knows one of them may speak to an introducer.
func (r *Roots) CAHashes() [][32]byte { return slices.Clone(r.hashes) }

// IssuerHash returns the SHA-256 of the certificate of the authority that
// signed cert, or that of the first authority if none here did.
func (r *Roots) IssuerHash(cert *x509.Certificate) [32]byte {
	for i, ca := range r.cas {
		if cert.CheckSignatureFrom(ca) == nil {
			return r.hashes[i]
		}
	}
	return r.hashes[0]
}

// Verify checks a node's certificate as of now and returns what it grants.
// Errors wrap ErrUntrusted, ErrExpired, ErrRevoked or ErrGrant.
func (r *Roots) Verify(cert *x509.Certificate, now time.Time) (Grant, error) {
	var g Grant
	pub, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || cert.IsCA {
		return g, fmt.Errorf("certificate of %.80q is no node's: %w", cert.Subject.CommonName, ErrGrant)
	}
	_, err := cert.Verify(x509.VerifyOptions{Roots: r.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return g, verifyError(cert, err)
	}
	if r.Revoked(cert) {
		return g, fmt.Errorf("certificate of %.80q, serial %s: %w", cert.Subject.CommonName, SerialOf(cert), ErrRevoked)
	}
	if err := readExtension(cert, oidGrant, &g); err != nil {
		return Grant{}, fmt.Errorf("%w: %w", ErrGrant, err)
	}
	if err := g.validate(r.mesh, pub); err != nil {
		return Grant{}, err
	}
	if len(cert.URIs) != 1 || *cert.URIs[0] != *nodeURI(g) {
		return Grant{}, fmt.Errorf("certificate of %s carries another name: %w", g.Node, ErrGrant)
	}
	return g, nil
}

func verifyError(cert *x509.Certificate, err error) error {
	class := ErrUntrusted
	if inv, ok := errors.AsType[x509.CertificateInvalidError](err); ok && inv.Reason == x509.Expired {
		class = ErrExpired
	}
	return fmt.Errorf("certificate of %.80q, valid %s to %s: %w", cert.Subject.CommonName,
		cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339), class)
}

// Revoked reports whether the certificate is on the list in force.
func (r *Roots) Revoked(cert *x509.Certificate) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.revoked[SerialOf(cert)]
}
