package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/node/enroll"
)

// renewWithin bounds how long the mesh takes to go on with another certificate.
const renewWithin = 20 * time.Second

// Renew has the running node go on with another bundle: certificate, key,
// authorities and introducers. The bundle must be one for this node in this mesh, with
// its IPv4 address, and be valid now; it is on the disk before it is in use. The
// device, and what it forwards, stays. Errors of the bundle are [*control.Error]
// and change nothing.
func (n *Node) Renew(ctx context.Context, data []byte) (control.Renewal, error) {
	if !n.renewing.TryLock() {
		return control.Renewal{}, &control.Error{Status: http.StatusConflict, Message: "another renewal is under way: try again"}
	}
	defer n.renewing.Unlock()
	if _, err := n.running(); err != nil {
		return control.Renewal{}, err
	}
	n.mu.Lock()
	held, was := n.held, n.grant
	n.mu.Unlock()
	b, g, err := n.acceptable(held, was, data)
	if err != nil {
		return control.Renewal{}, &control.Error{Status: http.StatusBadRequest, Message: err.Error()}
	}
	r := control.Renewal{Name: g.Node, Expires: b.Certificate.NotAfter.UTC(), Notes: differences(was, g)}
	if b.Certificate.Equal(held.bundle.Certificate) && sameTrust(b, held.bundle) {
		return r, nil
	}
	if err := b.Save(held.state.file(enroll.BundleFile)); err != nil {
		return control.Renewal{}, fmt.Errorf("the new bundle is not in use, it could not be saved: %w", err)
	}
	r.Changed = true
	return r, n.swap(ctx, b)
}

// swap hands the bundle to Run and waits until it is in use.
func (n *Node) swap(ctx context.Context, b *identity.Bundle) error {
	ctx, cancel := context.WithTimeout(ctx, renewWithin)
	defer cancel()
	inUse := make(chan struct{})
	select {
	case n.renewals <- &renewed{bundle: b, inUse: inUse}:
	case <-ctx.Done():
		return errors.New("the new bundle is saved, but not in use before the daemon starts again: it is busy or ends")
	}
	n.log.Info("certificate renewed", "until", b.Certificate.NotAfter)
	select {
	case <-inUse:
		return nil
	case <-ctx.Done():
		return errors.New("the new bundle is saved, and not in use yet: look at the daemon's log")
	}
}

// acceptable reads a bundle and checks that this node can go on with it.
func (n *Node) acceptable(held *parts, was identity.Grant, data []byte) (*identity.Bundle, identity.Grant, error) {
	b, err := identity.ParseBundle(data)
	if err != nil {
		return nil, identity.Grant{}, err
	}
	now := time.Now()
	roots, _, err := b.RootsAt(now)
	if err != nil {
		return nil, identity.Grant{}, fmt.Errorf("field cas: %w", err)
	}
	g, err := roots.Verify(b.Certificate, now)
	mine, present := held.roots.Mesh(), held.bundle.Certificate
	switch {
	case roots.Mesh() != mine:
		err = fmt.Errorf("field cas: an authority of mesh %s: this node is in %s", roots.Mesh(), mine)
	case errors.Is(err, identity.ErrExpired):
		err = fmt.Errorf("field certificate: this host's clock says %s: %w", now.UTC().Format(time.RFC3339), err)
	case err != nil:
		err = fmt.Errorf("field certificate: %w", err)
	case g.Node != was.Node:
		err = fmt.Errorf("field certificate: of node %s: this one is %s", g.Node, was.Node)
	case held.roots.Revoked(b.Certificate):
		err = fmt.Errorf("field certificate: %w", identity.ErrRevoked)
	case g.IP != was.IP:
		err = fmt.Errorf("field certificate: grants %s: this node has %s, and connections to it would break: issue one with --ip %s, or stop the daemon and start it with this bundle", g.IP, was.IP, was.IP)
	case b.Certificate.NotBefore.Before(present.NotBefore):
		err = fmt.Errorf("field certificate: issued %s, before the one in use (%s): issue a new one", issued(b), issued(held.bundle))
	default:
		err = n.c.checkRoles(g)
	}
	return b, g, err
}

func issued(b *identity.Bundle) string {
	return b.Certificate.NotBefore.Add(identity.Backdate).UTC().Format(time.RFC3339)
}

// sameTrust reports whether two bundles differ in nothing but perhaps the
// revocations, which spread anyway.
func sameTrust(a, b *identity.Bundle) bool {
	if !slices.Equal(a.Introducers, b.Introducers) || len(a.CAs) != len(b.CAs) {
		return false
	}
	for i, ca := range a.CAs {
		if !ca.Equal(b.CAs[i]) {
			return false
		}
	}
	return true
}

// differences says in plain words what another grant changes.
func differences(was, is identity.Grant) []string {
	var notes []string
	note := func(differs bool, format string, args ...any) {
		if differs {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	note(was.IP6 != is.IP6, "the bundle has a new key, and so the node a new IPv6 address: %s, before %s", is.IP6, was.IP6)
	note(!slices.Equal(was.Routes, is.Routes), "routes: %v, before %v", is.Routes, was.Routes)
	note(!slices.Equal(was.Groups, is.Groups), "groups: %v, before %v", is.Groups, was.Groups)
	note(!slices.Equal(was.Roles, is.Roles), "roles: %v, before %v", is.Roles, was.Roles)
	return notes
}
