package node

import (
	"context"
	"crypto/x509"
	"time"
)

// warnAhead is how long before its certificate ends a node begins to warn; for
// short-lived ones it is the last third of their life.
const warnAhead = 30 * 24 * time.Hour

// warnEvery is how often it warns.
const warnEvery = 24 * time.Hour

// watchExpiry warns that the certificate ends, in time for somebody to act.
func (n *Node) watchExpiry(ctx context.Context, cert *x509.Certificate) error {
	for {
		wait := nextWarning(cert, time.Now())
		if wait <= 0 {
			n.log.Warn("certificate ends soon: issue a new one", "until", cert.NotAfter)
			wait = warnEvery
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
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
