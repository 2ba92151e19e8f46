package pki

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

// ErrRefused says that the caller has no right to a certificate. What it is told is the
// same in every case but one (closed, by the holder of the right secret and
// key); the audit log has the reason.
var ErrRefused = errors.New("enrolment refused")

// ErrRequest says that the request itself is malformed.
var ErrRequest = errors.New("bad request")

// Issued is the answer to an enrolment or a renewal.
type Issued struct {
	Certificate *x509.Certificate
	CAs         []*x509.Certificate
	Introducers []string
	Revocations []byte // signed list in force, nil if there is none
}

// refusal is why an enrolment was refused, for the audit log.
type refusal struct {
	reason string
	told   bool // may the caller know
}

// Error implements error.
func (r *refusal) Error() string {
	if r.told {
		return ErrRefused.Error() + ": " + r.reason
	}
	return ErrRefused.Error()
}

// Unwrap makes errors.Is find ErrRefused.
func (r *refusal) Unwrap() error { return ErrRefused }

// Enroll swaps the secret of a token and a signing request for a certificate.
// Remote says where the request came from, for the audit log.
func (s *Service) Enroll(ctx context.Context, secret string, csr []byte, remote string) (Issued, error) {
	pub, node, err := identity.ParseSigningRequest(csr)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	var cert *x509.Certificate
	var fresh bool
	err = retry(ctx, func() error {
		cert, fresh, err = s.enroll(ctx, node, secret, pub)
		return err
	})
	entry := Entry{Action: "enroll", Node: node, Remote: remote, Key: fingerprint(pub), Outcome: Done}
	if r, ok := errors.AsType[*refusal](err); ok {
		entry.Outcome, entry.Detail = Refused, r.reason
		s.audit.add(ctx, s.now(), entry)
		s.log.Warn("enrolment refused", "node", node, "reason", r.reason, "remote", remote, "key", entry.Key)
		return Issued{}, err
	}
	if err != nil {
		return Issued{}, fmt.Errorf("enrol node %s: %w", node, err)
	}
	if fresh {
		s.audit.add(ctx, s.now(), entry)
		s.log.Info("node enrolled", "node", node, "remote", remote)
	}
	return s.issued(cert), nil
}

// enroll decides about one request. It reports whether the certificate is new.
func (s *Service) enroll(ctx context.Context, node, secret string, pub ed25519.PublicKey) (*x509.Certificate, bool, error) {
	rec, rev, err := s.node(ctx, node)
	if err != nil {
		return nil, false, err
	}
	if err := s.admits(rec, rev != 0, secret, pub); err != nil {
		return nil, false, err
	}
	if cert := rec.current(pub); cert != nil {
		return cert, false, nil
	}
	cert, err := s.issue(&rec, pub)
	if err != nil {
		return nil, false, err
	}
	return cert, true, s.commitNode(ctx, &rec, rev)
}

// admits checks secret, key and state, in an order that tells a stranger
// nothing: whether there is such a node, only who knows its secret learns.
func (s *Service) admits(rec nodeRecord, known bool, secret string, pub ed25519.PublicKey) error {
	hash := sha256.Sum256([]byte(secret))
	switch {
	case !known || rec.Gone || len(rec.SecretHash) == 0:
		return &refusal{reason: "no token was made for this node"}
	case subtle.ConstantTimeCompare(hash[:], rec.SecretHash) != 1:
		return &refusal{reason: "wrong secret"}
	case len(rec.Key) > 0 && !bytes.Equal(rec.Key, pub):
		return &refusal{reason: "the token was used with another key", told: true}
	case !rec.Open:
		return &refusal{reason: "the token is closed", told: true}
	case s.now().After(rec.Expires):
		return &refusal{reason: "the token has expired", told: true}
	}
	return nil
}

// issued completes an answer.
func (s *Service) issued(cert *x509.Certificate) Issued {
	return Issued{Certificate: cert, CAs: s.roots.CAs(), Introducers: s.cfg.Introducers, Revocations: s.roots.Revocations()}
}

// fingerprint names a key in logs: the first 8 bytes of its SHA-256 in hex.
func fingerprint(pub []byte) string {
	h := sha256.Sum256(pub)
	return hex.EncodeToString(h[:8])
}
