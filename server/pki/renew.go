package pki

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

// Renew returns a new certificate for the key of a valid one. The CSR, signed
// with that key, proves that the caller holds it. The grant is what the server
// plans for the node now. Asked too early or again, it returns the latest
// certificate: a lost answer does no harm.
func (s *Service) Renew(ctx context.Context, der, csr []byte, remote string) (Issued, error) {
	pub, node, err := identity.ParseSigningRequest(csr)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	old, err := x509.ParseCertificate(der)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: certificate: not X.509 in DER", ErrRequest)
	}
	var cert *x509.Certificate
	var fresh bool
	err = retry(ctx, func() error {
		cert, fresh, err = s.renew(ctx, old, node, pub)
		return err
	})
	entry := Entry{Action: "renew", Node: node, Remote: remote, Key: fingerprint(pub), Outcome: Done}
	if r, ok := errors.AsType[*refusal](err); ok {
		entry.Outcome, entry.Detail = Refused, r.reason
		s.audit.add(ctx, s.now(), entry)
		s.log.Warn("renewal refused", "node", node, "reason", r.reason, "remote", remote)
		return Issued{}, err
	}
	if err != nil {
		return Issued{}, fmt.Errorf("renew node %s: %w", node, err)
	}
	if fresh {
		s.audit.add(ctx, s.now(), entry)
	}
	return s.issued(cert), nil
}

func (s *Service) renew(ctx context.Context, old *x509.Certificate, node string, pub ed25519.PublicKey) (*x509.Certificate, bool, error) {
	g, err := s.roots.Verify(old, s.now())
	if err != nil {
		return nil, false, &refusal{reason: err.Error(), told: true}
	}
	if g.Node != node || !pub.Equal(old.PublicKey) {
		return nil, false, &refusal{reason: "the certificate is not of the request's node and key"}
	}
	rec, rev, err := s.node(ctx, node)
	if err != nil {
		return nil, false, err
	}
	if rev == 0 || rec.Gone || !bytes.Equal(rec.Key, pub) {
		return nil, false, &refusal{reason: "the node is not, or no longer, registered with this key"}
	}
	if cert := rec.current(pub); cert != nil && s.young(cert) {
		return cert, false, nil
	}
	cert, err := s.issue(&rec, pub)
	if err != nil {
		return nil, false, err
	}
	return cert, true, s.commitNode(ctx, &rec, rev)
}
