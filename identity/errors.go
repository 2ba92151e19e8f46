package identity

import "errors"

// What a verification may say. Errors of this package wrap one of these where
// a caller may want to act on the difference.
var (
	// ErrUntrusted: no certificate authority of the mesh signed it.
	ErrUntrusted = errors.New("not signed by this mesh's certificate authority")
	// ErrExpired: outside its validity, by this host's clock.
	ErrExpired = errors.New("certificate expired or not yet valid")
	// ErrRevoked: the certificate is on the revocation list.
	ErrRevoked = errors.New("certificate revoked")
	// ErrGrant: the certificate's grant is missing, malformed or claims what no node may.
	ErrGrant = errors.New("bad grant")
	// ErrFormat: malformed bytes, or a format number this version does not know.
	ErrFormat = errors.New("bad format")
	// ErrTooLarge: over a limit of limits.go.
	ErrTooLarge = errors.New("too large")
	// ErrSignature: the signature does not match.
	ErrSignature = errors.New("bad signature")
	// ErrOutdated: an older revocation list than the one in force.
	ErrOutdated = errors.New("outdated")
	// ErrTaken: a name or an address belongs to another node.
	ErrTaken = errors.New("already taken")
)
