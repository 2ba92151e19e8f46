package overlay

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
)

// GenerateKey makes a new private key from the system's random source.
func GenerateKey() (Key, error) {
	var k Key
	if _, err := rand.Read(k[:]); err != nil {
		return Key{}, fmt.Errorf("random bytes: %w", err)
	}
	return k.clamp(), nil
}

// Public returns the public key of the private key k. The public key of the
// zero key is zero.
func (k Key) Public() Key {
	if k.IsZero() {
		return Key{}
	}
	// NewPrivateKey refuses only wrong lengths.
	priv, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		return Key{}
	}
	return Key(priv.PublicKey().Bytes())
}

// clamp sets and clears the bits that X25519 ignores. A device stores private
// keys in this form, so they are compared in it.
func (k Key) clamp() Key {
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}
