package identity

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// CA is a certificate authority of a mesh, with its private key in memory. It
// is immutable and safe for concurrent use.
type CA struct {
	Certificate *x509.Certificate
	Mesh        Mesh
	key         ed25519.PrivateKey
}

// NewCA makes an authority with a new key for the mesh.
func NewCA(m Mesh, now time.Time) (*CA, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	ext, err := extension(oidMesh, m)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		Subject:               pkix.Name{CommonName: m.Name, Organization: []string{"cbnet"}},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(CAValidity),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		ExtraExtensions:       []pkix.Extension{ext},
	}
	cert, err := create(tmpl, tmpl, pub, key)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	return &CA{Certificate: cert, Mesh: m, key: key}, nil
}

// ParseCA reads an authority from PEM.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	cert, err := parseCertPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	key, err := parseKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("CA key: %w", err)
	}
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, errors.New("CA key does not belong to the CA certificate")
	}
	m, err := meshOf(cert)
	if err != nil {
		return nil, err
	}
	return &CA{Certificate: cert, Mesh: m, key: key}, nil
}

// MarshalPEM returns the certificate and the private key (PKCS #8). The key is
// secret: keep it in a file of mode 0600 or sealed.
func (c *CA) MarshalPEM() (cert, key []byte, err error) {
	key, err = marshalKeyPEM(c.key)
	if err != nil {
		return nil, nil, fmt.Errorf("CA key: %w", err)
	}
	return marshalCertPEM(c.Certificate), key, nil
}

// Issue certifies a node's key for what the grant says. It fills in the
// grant's format, mesh and IPv6 address, and refuses (ErrGrant) what no node
// may claim. The caller sees to it that name and address are the node's own.
func (c *CA) Issue(pub ed25519.PublicKey, g Grant, now time.Time, validity time.Duration) (*x509.Certificate, error) {
	g.Format, g.Mesh, g.IP6 = Format, c.Mesh.Name, c.Mesh.IP6(pub)
	if err := g.validate(c.Mesh, pub); err != nil {
		return nil, err
	}
	notAfter := c.cap(now.Add(validity))
	if !notAfter.After(now) {
		return nil, fmt.Errorf("certificate of %s for %s would end at %s, in the past: want a validity above zero, and of at most centuries: %w",
			g.Node, validity, notAfter.Format(time.RFC3339), ErrExpired)
	}
	ext, err := extension(oidGrant, g)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		Subject:         pkix.Name{CommonName: g.Node, Organization: []string{"cbnet"}},
		URIs:            []*url.URL{nodeURI(g)},
		NotBefore:       now.Add(-Backdate),
		NotAfter:        notAfter,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{ext},
	}
	cert, err := create(tmpl, c.Certificate, pub, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", g.Node, err)
	}
	return cert, nil
}

// IssueServer certifies the HTTPS key of a control plane for host names and
// addresses. Such a certificate has no grant: it is no node.
func (c *CA) IssueServer(pub crypto.PublicKey, hosts []string, now time.Time, validity time.Duration) (*x509.Certificate, error) {
	tmpl := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "cbserver " + c.Mesh.Name, Organization: []string{"cbnet"}},
		NotBefore:   now.Add(-Backdate),
		NotAfter:    c.cap(now.Add(validity)),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if a, err := netip.ParseAddr(h); err == nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, net.IP(a.AsSlice()))
			continue
		}
		tmpl.DNSNames = append(tmpl.DNSNames, h)
	}
	cert, err := create(tmpl, c.Certificate, pub, c.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the API: %w", err)
	}
	return cert, nil
}

// cap keeps a certificate from outliving its authority.
func (c *CA) cap(notAfter time.Time) time.Time {
	if notAfter.After(c.Certificate.NotAfter) {
		return c.Certificate.NotAfter
	}
	return notAfter
}

// create signs the template with a random serial number and parses the result.
func create(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key ed25519.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	tmpl.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// meshOf reads the mesh's parameters from a CA certificate.
func meshOf(cert *x509.Certificate) (Mesh, error) {
	var m Mesh
	if !cert.IsCA {
		return m, errors.New("CA certificate: is not an authority's")
	}
	if _, ok := cert.PublicKey.(ed25519.PublicKey); !ok {
		return m, fmt.Errorf("CA certificate: want an Ed25519 key: %w", ErrFormat)
	}
	if err := readExtension(cert, oidMesh, &m); err != nil {
		return m, fmt.Errorf("CA certificate: %w", err)
	}
	return m, m.Validate()
}

// SerialOf returns a certificate's serial number as lists and indexes hold it: hex.
func SerialOf(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

func marshalCertPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func parseCertPEM(b []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(trim(rest)) != 0 {
		return nil, fmt.Errorf("want one PEM block CERTIFICATE: %w", ErrFormat)
	}
	return x509.ParseCertificate(block.Bytes)
}

func marshalKeyPEM(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKeyPEM reads an Ed25519 key. Its errors never hold any of the input.
func parseKeyPEM(b []byte) (ed25519.PrivateKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(trim(rest)) != 0 {
		return nil, fmt.Errorf("want one PEM block PRIVATE KEY: %w", ErrFormat)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("PKCS #8: %w", ErrFormat)
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("want an Ed25519 key, have %T: %w", k, ErrFormat)
	}
	return key, nil
}
