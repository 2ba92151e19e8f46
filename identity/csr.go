package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
)

// maxCSR bounds a signing request: ours has about 250 bytes.
const maxCSR = 4 << 10

// SigningRequest returns a PKCS #10 request (RFC 2986), DER, by which the
// holder of key asks for a certificate in the name of node.
func SigningRequest(key ed25519.PrivateKey, node string) ([]byte, error) {
	if err := ParseName(node); err != nil {
		return nil, err
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: node}}
	return x509.CreateCertificateRequest(rand.Reader, tmpl, key)
}

// ParseSigningRequest verifies a request and returns the key and the node that
// it names. Everything else in it is ignored: the authority decides.
func ParseSigningRequest(der []byte) (ed25519.PublicKey, string, error) {
	if len(der) > maxCSR {
		return nil, "", fmt.Errorf("signing request: %w", ErrTooLarge)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, "", fmt.Errorf("signing request: %w", ErrFormat)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, "", fmt.Errorf("signing request: %w", ErrSignature)
	}
	pub, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, "", fmt.Errorf("signing request: want an Ed25519 key, have %T: %w", csr.PublicKey, ErrFormat)
	}
	if err := ParseName(csr.Subject.CommonName); err != nil {
		return nil, "", fmt.Errorf("signing request: %w", err)
	}
	return pub, csr.Subject.CommonName, nil
}

func trim(b []byte) []byte { return bytes.TrimSpace(b) }
