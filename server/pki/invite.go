package pki

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// ErrUnknown says that there is no such node.
var ErrUnknown = errors.New("no such node")

// Invitation says what a node will be granted when it enrols.
type Invitation struct {
	Node   string
	Slice  netip.Prefix // its address is taken from; invalid: the mesh's prefix
	Groups []string
	Roles  []identity.Role
	Routes []netip.Prefix
}

// Invite reserves an address for a node and makes a token for it. A node that
// was invited before keeps its address; its older token is void and what was
// certified in its name is revoked: the name goes to a new machine.
func (s *Service) Invite(ctx context.Context, inv Invitation) (identity.Token, netip.Addr, error) {
	if err := s.checkInvitation(inv); err != nil {
		return identity.Token{}, netip.Addr{}, err
	}
	secret := newSecret()
	var ip netip.Addr
	err := retry(ctx, func() (err error) {
		ip, err = s.invite(ctx, inv, secret)
		return err
	})
	if err != nil {
		return identity.Token{}, netip.Addr{}, fmt.Errorf("invite node %s: %w", inv.Node, err)
	}
	s.audit.add(ctx, s.now(), Entry{Action: "invite", Node: inv.Node, Outcome: Done, Detail: ip.String()})
	t := identity.Token{Format: identity.Format, URL: s.cfg.URL, CAHash: s.roots.CAHash(), Node: inv.Node, Secret: secret}
	return t, ip, nil
}

func (s *Service) invite(ctx context.Context, inv Invitation, secret string) (netip.Addr, error) {
	s.numbering.Lock()
	defer s.numbering.Unlock()
	rec, rev, err := s.node(ctx, inv.Node)
	if err != nil {
		return netip.Addr{}, err
	}
	if rec.Own {
		return netip.Addr{}, ErrOwn
	}
	ops, err := s.numbered(ctx, &rec, inv.Node, inv.Slice)
	if err != nil {
		return netip.Addr{}, err
	}
	revoke, err := s.revocation(ctx, &rec)
	if err != nil {
		return netip.Addr{}, err
	}
	hash := sha256.Sum256([]byte(secret))
	rec.plan(identity.Grant{Routes: inv.Routes, Groups: inv.Groups, Roles: inv.Roles})
	rec.SecretHash, rec.Open, rec.Expires = hash[:], true, s.now().Add(TokenValidity)
	rec.Key, rec.Certificate, rec.Gone = nil, nil, false
	if err := s.commitNode(ctx, &rec, rev, append(ops, revoke...)...); err != nil {
		return netip.Addr{}, err
	}
	return rec.IP, s.RefreshRevocations(ctx)
}

// checkInvitation tries the grant on a throw-away key: what the CA would refuse
// later is refused now.
func (s *Service) checkInvitation(inv Invitation) error {
	if err := identity.ParseName(inv.Node); err != nil {
		return fmt.Errorf("invitation: %w", err)
	}
	if slices.Contains(inv.Roles, identity.RoleServer) {
		return fmt.Errorf("invitation of %s: the role %s is the server's own", inv.Node, identity.RoleServer)
	}
	g := identity.Grant{Node: inv.Node, IP: s.ca.Mesh.CIDR.Addr().Next(), Groups: inv.Groups, Roles: inv.Roles, Routes: inv.Routes}
	if _, err := s.ca.Issue(make(ed25519.PublicKey, ed25519.PublicKeySize), g, s.now(), time.Hour); err != nil {
		return fmt.Errorf("invitation: %w", err)
	}
	return nil
}

// newSecret returns 256 random bits as text.
func newSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Extend restarts the validity of a node's token: the step that made it is
// issued again with the same token. A token that was closed is opened again; the
// key that it is bound to stays.
func (s *Service) Extend(ctx context.Context, node string) error {
	return s.change(ctx, node, func(rec *nodeRecord) bool {
		rec.Open, rec.Expires = true, s.now().Add(TokenValidity)
		return true
	})
}

// CloseToken ends the use of a node's token: the node is in. A token that nobody
// has used stays open: who is in then is an older machine of the same name. It
// is no error when there is no such node.
func (s *Service) CloseToken(ctx context.Context, node string) error {
	err := s.change(ctx, node, func(rec *nodeRecord) bool {
		if !rec.Open || len(rec.Key) == 0 {
			return false
		}
		rec.Open = false
		return true
	})
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// change edits a node's record; f reports whether there is anything to write.
func (s *Service) change(ctx context.Context, node string, f func(*nodeRecord) bool) error {
	err := retry(ctx, func() error {
		rec, rev, err := s.node(ctx, node)
		if err != nil {
			return err
		}
		if rev == 0 {
			return ErrUnknown
		}
		if !f(&rec) {
			return nil
		}
		return s.commitNode(ctx, &rec, rev)
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", node, err)
	}
	return nil
}
