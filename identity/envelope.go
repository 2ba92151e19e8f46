package identity

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/binary"
	"fmt"
)

// What a signature is for goes into the signed bytes, so that one kind of
// message never passes for another.
const (
	contextRecord      = "cbnet record v1\x00"
	contextRevocations = "cbnet revocations v1\x00"
)

// seal signs a payload and wraps it with the signer's certificate:
//
//	byte    format number
//	uint32  length of payload, big endian    payload
//	uint32  length of certificate            certificate, DER
//	        signature, 64 bytes (Ed25519, RFC 8032) of context and all the above
//
// The payload is carried as it was signed: nobody encodes it again to verify.
// The certificate is signed along with it: a key may have had several, of other
// grants, and nobody may put another in its place.
func seal(context string, payload []byte, key ed25519.PrivateKey, cert *x509.Certificate) []byte {
	b := make([]byte, 0, 1+4+len(payload)+4+len(cert.Raw)+ed25519.SignatureSize)
	b = append(b, Format)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(cert.Raw)))
	b = append(b, cert.Raw...)
	return append(b, ed25519.Sign(key, append([]byte(context), b...))...)
}

// open splits an envelope of at most limit bytes and checks the signature
// against the certificate inside. Whether that certificate may be trusted is
// the caller's question.
func open(context string, b []byte, limit int) (payload []byte, cert *x509.Certificate, err error) {
	if len(b) > limit {
		return nil, nil, fmt.Errorf("envelope of %d bytes: %w", len(b), ErrTooLarge)
	}
	if len(b) == 0 || b[0] != Format {
		return nil, nil, fmt.Errorf("envelope: %w", ErrFormat)
	}
	payload, rest, ok := field(b[1:])
	if !ok {
		return nil, nil, fmt.Errorf("envelope payload: %w", ErrFormat)
	}
	der, sig, ok := field(rest)
	if !ok || len(sig) != ed25519.SignatureSize {
		return nil, nil, fmt.Errorf("envelope certificate: %w", ErrFormat)
	}
	cert, err = x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("envelope certificate: %w", ErrFormat)
	}
	pub, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, nil, fmt.Errorf("envelope certificate: want an Ed25519 key: %w", ErrFormat)
	}
	signed := b[:len(b)-len(sig)]
	if !ed25519.Verify(pub, append([]byte(context), signed...), sig) {
		return nil, nil, fmt.Errorf("envelope: %w", ErrSignature)
	}
	return payload, cert, nil
}

// field takes one length-prefixed field off the front of b.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
