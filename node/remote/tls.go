package remote

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// ErrOtherNode says that the node at the address is not the wanted one.
var ErrOtherNode = errors.New("another node answers")

// certificate returns a bundle's certificate as TLS takes it.
func certificate(b *identity.Bundle) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{b.Certificate.Raw}, PrivateKey: b.Key, Leaf: b.Certificate}
}

// grantOf verifies the other side's certificate by the mesh's rules. Names and
// chains of the web do not apply: a node's name stands in its grant.
func grantOf(roots *identity.Roots, s tls.ConnectionState) (identity.Grant, error) {
	if len(s.PeerCertificates) == 0 {
		return identity.Grant{}, errors.New("no certificate")
	}
	return roots.Verify(s.PeerCertificates[0], time.Now())
}

func serverTLS(b *identity.Bundle, roots *identity.Roots) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate(b)},
		ClientAuth:   tls.RequireAnyClientCert, // verified below
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := grantOf(roots, s)
			return err
		},
		// A revoked caller must not come back by a ticket.
		SessionTicketsDisabled: true,
	}
}

func clientTLS(b *identity.Bundle, roots *identity.Roots, node string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate(b)},
		// Verified by the mesh's rules below.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			g, err := grantOf(roots, s)
			if err != nil {
				return err
			}
			if g.Node != node {
				return fmt.Errorf("%w: want %s, have %s", ErrOtherNode, node, g.Node)
			}
			return nil
		},
	}
}
