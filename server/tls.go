package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/server/pki"
)

// Certificates serves the API's certificate and renews it. The key lives in
// memory only: clients trust the mesh's CA, so that every start may make its own.
type Certificates struct {
	pki   *pki.Service
	hosts []string
	key   ed25519.PrivateKey
	now   func() time.Time

	mu   sync.Mutex // guards cert
	cert *tls.Certificate
}

// NewCertificates makes a key and certifies it for the names and addresses by
// which the API is reached.
func NewCertificates(p *pki.Service, hosts []string) (*Certificates, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("API key: %w", err)
	}
	c := &Certificates{pki: p, hosts: hosts, key: key, now: time.Now}
	_, err = c.current()
	return c, err
}

// Config returns the TLS configuration of the API.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current() },
	}
}

// current returns the certificate, a new one if it is due. The CA's follows it,
// so that a client that only knows the CA's hash can check the chain.
func (c *Certificates) current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && c.now().Before(c.cert.Leaf.NotBefore.Add(identity.Backdate+pki.RenewAfter)) {
		return c.cert, nil
	}
	leaf, err := c.pki.IssueAPI(c.key.Public(), c.hosts)
	if err != nil {
		return nil, err
	}
	c.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, c.pki.CACertificate().Raw}, PrivateKey: c.key, Leaf: leaf}
	return c.cert, nil
}
