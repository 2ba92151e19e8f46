package server

import (
	"context"
	"errors"
	"strings"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/server/pki"
)

// Enroller admits the nodes of an MCIS to the mesh: mcis.Enroller over the
// registry.
type Enroller struct{ pki *pki.Service }

var _ mcis.Enroller = (*Enroller)(nil)

// NewEnroller returns an enroller of a registry.
func NewEnroller(p *pki.Service) *Enroller { return &Enroller{pki: p} }

// Token implements mcis.Enroller.
func (e *Enroller) Token(ctx context.Context, req mcis.NodeRequest) (mcis.Enrollment, error) {
	inv := pki.Invitation{Node: req.Node, Slice: req.Slice, Routes: req.Routes}
	for _, g := range req.Groups {
		// The group of a grant is one label; MCIS/GROUP becomes MCIS-GROUP.
		inv.Groups = append(inv.Groups, strings.ReplaceAll(g, "/", "-"))
	}
	for _, r := range req.Roles {
		inv.Roles = append(inv.Roles, identity.Role(r))
	}
	token, ip, err := e.pki.Invite(ctx, inv)
	if err != nil {
		return mcis.Enrollment{}, err
	}
	text, err := token.Text()
	if err != nil {
		return mcis.Enrollment{}, err
	}
	return mcis.Enrollment{Token: text, IP: ip}, nil
}

// Extend implements mcis.Enroller.
func (e *Enroller) Extend(ctx context.Context, node string) error {
	err := e.pki.Extend(ctx, node)
	if errors.Is(err, pki.ErrUnknown) {
		return nil // closed meanwhile: the step will find that out
	}
	return err
}

// Close implements mcis.Enroller.
func (e *Enroller) Close(ctx context.Context, node string) error { return e.pki.Remove(ctx, node) }
