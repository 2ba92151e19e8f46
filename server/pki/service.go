package pki

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

const (
	// TokenValidity is how long a token may be used after it was made or
	// extended. It outlasts any sensible deadline for a VM to join.
	TokenValidity = time.Hour
	// RenewAfter is the age from which a certificate is renewed.
	RenewAfter = 10 * 24 * time.Hour
	// apiValidity is how long a certificate of the HTTPS API lasts.
	apiValidity = 30 * 24 * time.Hour
)

// Config is what a Service needs to know.
type Config struct {
	Mesh        string           // name of the mesh; empty: as stored, or DefaultMesh
	CIDR        netip.Prefix     // of its IPv4 addresses; invalid: as stored, or the default
	URL         string           // of the API as nodes reach it: https://HOST:PORT
	Introducers []string         // HOST:PORT, for the nodes' bundles
	AuditFile   string           // JSON lines are appended to it; empty: none
	Log         *slog.Logger     // nil: silent
	Now         func() time.Time // nil: time.Now
}

// Service is the registry office. See the package documentation.
type Service struct {
	cfg   Config
	store Store
	log   *slog.Logger
	now   func() time.Time
	ca    *identity.CA
	uid   string
	roots *identity.Roots
	audit *audit

	numbering sync.Mutex    // held while an address is chosen, so that one server does not race itself
	revoked   chan struct{} // 1-deep: the revocation list changed
}

// Open loads the authority from the store, or makes it.
func Open(ctx context.Context, store Store, cfg Config) (*Service, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ca, uid, err := loadCA(ctx, store, cfg)
	if err != nil {
		return nil, err
	}
	roots, err := identity.NewRoots(ca.Certificate)
	if err != nil {
		return nil, fmt.Errorf("mesh CA: %w", err)
	}
	s := &Service{cfg: cfg, store: store, log: cfg.Log, now: cfg.Now, ca: ca, uid: uid, roots: roots, revoked: make(chan struct{}, 1)}
	s.audit = newAudit(store, cfg.AuditFile, cfg.Log)
	if err := s.RefreshRevocations(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes the audit log's file.
func (s *Service) Close() error { return s.audit.close() }

// Mesh returns the parameters of the mesh.
func (s *Service) Mesh() identity.Mesh { return s.ca.Mesh }

// UID returns the mesh's random id: lower-case letters and digits.
func (s *Service) UID() string { return s.uid }

// Roots returns whom the mesh trusts, with the revocations in force.
func (s *Service) Roots() *identity.Roots { return s.roots }

// CACertificate returns the authority's certificate.
func (s *Service) CACertificate() *x509.Certificate { return s.ca.Certificate }

// CAPEM returns the authority's certificate in PEM.
func (s *Service) CAPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.Certificate.Raw}))
}

// IssueAPI certifies the key of the HTTPS API for the hosts it is reached by.
func (s *Service) IssueAPI(pub crypto.PublicKey, hosts []string) (*x509.Certificate, error) {
	return s.ca.IssueServer(pub, hosts, s.now(), apiValidity)
}

// IssueOwn certifies the key of a node that belongs to the server itself, with
// the first free address or the one it had. The same key gets the same
// certificate while that needs no renewal and grants the same; an older key of
// the name is revoked.
func (s *Service) IssueOwn(ctx context.Context, pub ed25519.PublicKey, g identity.Grant) (*x509.Certificate, error) {
	var cert *x509.Certificate
	err := retry(ctx, func() error {
		var err error
		cert, err = s.issueOwn(ctx, pub, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("certificate of node %s: %w", g.Node, err)
	}
	return cert, nil
}

func (s *Service) issueOwn(ctx context.Context, pub ed25519.PublicKey, g identity.Grant) (*x509.Certificate, error) {
	s.numbering.Lock()
	defer s.numbering.Unlock()
	rec, rev, err := s.node(ctx, g.Node)
	if err != nil {
		return nil, err
	}
	ops, err := s.numbered(ctx, &rec, g.Node, netip.Prefix{})
	if err != nil {
		return nil, err
	}
	if cert := rec.current(pub); cert != nil && rec.sameGrant(g) && s.young(cert) {
		return cert, nil
	}
	if len(rec.Key) > 0 && !pub.Equal(ed25519.PublicKey(rec.Key)) {
		revoke, err := s.revocation(ctx, &rec)
		if err != nil {
			return nil, err
		}
		ops = append(ops, revoke...)
	}
	rec.plan(g)
	rec.Open, rec.Gone, rec.Own = false, false, true
	cert, err := s.issue(&rec, pub)
	if err != nil {
		return nil, err
	}
	if err := s.commitNode(ctx, &rec, rev, ops...); err != nil {
		return nil, err
	}
	return cert, s.RefreshRevocations(ctx)
}

// young reports whether the certificate needs no renewal yet.
func (s *Service) young(cert *x509.Certificate) bool {
	return s.now().Before(cert.NotBefore.Add(identity.Backdate + RenewAfter))
}

// issue certifies pub for what the record plans, and notes it in the record.
func (s *Service) issue(rec *nodeRecord, pub ed25519.PublicKey) (*x509.Certificate, error) {
	now := s.now()
	cert, err := s.ca.Issue(pub, rec.grant(), now, identity.ServerIssuedValidity)
	if err != nil {
		return nil, err
	}
	rec.Key, rec.Certificate = pub, cert.Raw
	rec.note(cert, now)
	return cert, nil
}

// Audit appends an entry about something that package pki does not see itself.
func (s *Service) Audit(ctx context.Context, e Entry) { s.audit.add(ctx, s.now(), e) }
