package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"time"
)

// ParseIndex reports whether an index can be read.
func ParseIndex(data []byte) error {
	_, err := parseIndex(data)
	return err
}

// SealRecord signs any bytes as a member may that holds its key.
func SealRecord(payload []byte, b *Bundle) []byte {
	return seal(contextRecord, payload, b.Key, b.Certificate)
}

// SealRevocations signs any bytes as the authority may.
func SealRevocations(payload []byte, ca *CA) []byte {
	return seal(contextRevocations, payload, ca.key, ca.Certificate)
}

// Certify issues a certificate with any bytes as its grant.
func Certify(ca *CA, pub ed25519.PublicKey, grant []byte, node string, now time.Time) (*x509.Certificate, error) {
	tmpl := &x509.Certificate{
		Subject:         pkix.Name{CommonName: node},
		URIs:            []*url.URL{nodeURI(Grant{Mesh: ca.Mesh.Name, Node: node})},
		NotBefore:       now,
		NotAfter:        now.Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: oidGrant, Value: grant}},
	}
	return create(tmpl, ca.Certificate, pub, ca.key)
}
