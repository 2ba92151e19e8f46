package pki

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/store/kv"
)

const (
	prefixNodes = "pki/node/"
	prefixIPs   = "pki/ip/"
)

// nodeRecord is one node as the store holds it: what it was promised, the key
// it came with, and every certificate that could still be used in its name.
type nodeRecord struct {
	Format      int             `json:"format"`
	Node        string          `json:"node"`
	IP          netip.Addr      `json:"ip"`
	Routes      []netip.Prefix  `json:"routes,omitempty"`
	Groups      []string        `json:"groups,omitempty"`
	Roles       []identity.Role `json:"roles,omitempty"`
	SecretHash  []byte          `json:"secretHash,omitempty"` // SHA-256 of the token's secret
	Open        bool            `json:"open"`                 // the token may be used
	Gone        bool            `json:"gone,omitempty"`       // revoked, about to be removed
	Own         bool            `json:"own,omitempty"`        // a server's: not to be invited or removed
	Expires     time.Time       `json:"expires,omitzero"`     // of the token
	Key         []byte          `json:"key,omitempty"`        // Ed25519 public key, bound at first use
	Certificate []byte          `json:"certificate,omitempty"`
	Issued      []issued        `json:"issued,omitempty"` // unexpired certificates, oldest first
}

// issued is a certificate as revocation needs to know it.
type issued struct {
	Serial  string    `json:"serial"`
	Expires time.Time `json:"expires"`
}

// ErrOwn says that the node belongs to a server.
var ErrOwn = errors.New("the name belongs to the server's own node")

// node loads a record; the revision is 0 if there is none.
func (s *Service) node(ctx context.Context, name string) (nodeRecord, int64, error) {
	var rec nodeRecord
	rev, err := load(ctx, s.store, prefixNodes+name, &rec)
	return rec, rev, err
}

// commitNode writes a record together with other changes.
func (s *Service) commitNode(ctx context.Context, rec *nodeRecord, rev int64, ops ...kv.Op) error {
	rec.Format = identity.Format
	op, err := save(prefixNodes+rec.Node, rec, rev)
	if err != nil {
		return err
	}
	return s.store.Txn(ctx, append(ops, op)...)
}

// grant is what the node's certificate will say.
func (r *nodeRecord) grant() identity.Grant {
	return identity.Grant{Node: r.Node, IP: r.IP, Routes: r.Routes, Groups: r.Groups, Roles: r.Roles}
}

// plan takes over what the grant promises, but for the address.
func (r *nodeRecord) plan(g identity.Grant) {
	r.Routes, r.Groups, r.Roles = g.Routes, g.Groups, g.Roles
}

func (r *nodeRecord) sameGrant(g identity.Grant) bool {
	return slices.Equal(r.Routes, g.Routes) && slices.Equal(r.Groups, g.Groups) && slices.Equal(r.Roles, g.Roles)
}

// current returns the latest certificate if it was issued for the key.
func (r *nodeRecord) current(pub []byte) *x509.Certificate {
	if len(r.Certificate) == 0 || !bytes.Equal(r.Key, pub) {
		return nil
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil // as good as none: the next one replaces it
	}
	return cert
}

// note remembers a certificate for revocation and forgets the expired ones.
func (r *nodeRecord) note(cert *x509.Certificate, now time.Time) {
	r.Issued = slices.DeleteFunc(r.Issued, func(i issued) bool { return i.Expires.Before(now) })
	r.Issued = append(r.Issued, issued{Serial: identity.SerialOf(cert), Expires: cert.NotAfter})
}

// numbered sees to it that the record has a name and an address within the
// slice, and returns the changes that reserve a new one. The caller holds
// s.numbering. A node keeps the address it has, unless that lies outside.
func (s *Service) numbered(ctx context.Context, rec *nodeRecord, name string, slice netip.Prefix) ([]kv.Op, error) {
	if !slice.IsValid() {
		slice = s.ca.Mesh.CIDR
	}
	if err := s.checkSlice(slice); err != nil {
		return nil, err
	}
	if rec.IP.IsValid() && slice.Contains(rec.IP) {
		return nil, nil
	}
	items, err := s.store.List(ctx, prefixIPs)
	if err != nil {
		return nil, fmt.Errorf("addresses: %w", err)
	}
	used := make(map[string]bool, len(items))
	for _, it := range items {
		used[it.Key] = true
	}
	mesh := s.ca.Mesh.CIDR
	edge := func(a netip.Addr) bool { return a == mesh.Addr() || a == identity.Broadcast(mesh) }
	ip, err := identity.NextIP(slice, func(a netip.Addr) bool { return edge(a) || used[prefixIPs+a.String()] })
	if err != nil {
		return nil, fmt.Errorf("address for %s in %s: %w", name, slice, err)
	}
	ops := []kv.Op{kv.Create(prefixIPs+ip.String(), []byte(name))}
	if rec.IP.IsValid() {
		ops = append(ops, kv.Delete(prefixIPs+rec.IP.String()))
	}
	rec.Node, rec.IP = name, ip
	return ops, nil
}

func (s *Service) checkSlice(slice netip.Prefix) error {
	mesh := s.ca.Mesh.CIDR
	if slice.Bits() < mesh.Bits() || !mesh.Contains(slice.Addr()) {
		return fmt.Errorf("slice %s: not within the mesh's prefix %s", slice, mesh)
	}
	return nil
}
