package node

import (
	"context"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node/enroll"
)

const (
	// warnAhead is how long before its certificate ends a node begins to warn;
	// for short-lived ones it is the last third of their life.
	warnAhead = 30 * 24 * time.Hour
	// warnEvery is how often it warns.
	warnEvery = 24 * time.Hour
	// lookEvery is how often the clock is looked at: timers stand still while a
	// host sleeps. It is the pause between two tries to renew as well.
	lookEvery = time.Hour
)

// renewed is why a mesh is ended: to be made anew with another certificate.
type renewed struct {
	bundle *identity.Bundle
	inUse  chan struct{} // to be closed once the bundle is, nil if nobody waits
}

// Error implements error.
func (*renewed) Error() string { return "certificate renewed" }

// Unwrap tells the mesh that this is no stop.
func (*renewed) Unwrap() error { return mesh.ErrReplaced }

// keepCertificate passes on the certificates that an operator renews by hand,
// renews it in time if a server issued it, and otherwise, or if that fails, warns in time for somebody to act. It ends with
// a *renewed or with ctx.
func (n *Node) keepCertificate(ctx context.Context, p *parts) error {
	cert := p.bundle.Certificate
	renewable := n.c.Bundle == "" && enroll.Renewable(p.state.path)
	var warned time.Time
	for {
		now := time.Now()
		if renewable && now.After(enroll.RenewAt(cert)) {
			b, err := enroll.Renew(ctx, p.state.path, p.bundle)
			switch {
			case ctx.Err() != nil:
				return nil
			case b != nil && b != p.bundle:
				if err != nil { // a full disk must not cut the node off in the end
					n.log.Error("renewed certificate not saved", "err", err)
				}
				n.log.Info("certificate renewed", "until", b.Certificate.NotAfter)
				return &renewed{bundle: b}
			case errors.Is(err, enroll.ErrRefused):
				n.log.Error("certificate is not renewed", "until", cert.NotAfter, "err", err)
			case err != nil:
				n.log.Warn("certificate is not renewed yet", "until", cert.NotAfter, "err", err)
			}
		}
		if nextWarning(cert, now) <= 0 && now.Sub(warned) >= warnEvery {
			n.log.Warn("certificate ends soon: issue a new one", "until", cert.NotAfter)
			warned = now
		}
		t := time.NewTimer(lookEvery - rand.N(lookEvery/4))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case r := <-n.renewals:
			t.Stop()
			return r
		case <-t.C:
		}
	}
}

// nextWarning returns how long it is until the first warning is due, zero or
// less if it is.
func nextWarning(cert *x509.Certificate, now time.Time) time.Duration {
	ahead := min(warnAhead, cert.NotAfter.Sub(cert.NotBefore)/3)
	return cert.NotAfter.Add(-ahead).Sub(now)
}
