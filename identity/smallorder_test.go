package identity_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/cbnet-io/cbnet/identity"
)

// TestSmallOrder: a record is refused for the keys, and only for those, with
// which X25519 gives no secret.
func TestSmallOrder(t *testing.T) {
	b := newBundle(t, newCA(t, "home"), grant("web-1", "10.66.0.7"))
	mine, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, key string // little endian
	}{
		{"one", "0100000000000000000000000000000000000000000000000000000000000000"},
		{"one and the highest bit", "0100000000000000000000000000000000000000000000000000000000000080"},
		{"two", "0200000000000000000000000000000000000000000000000000000000000000"},
		{"order 8", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"},
		{"order 8 and the highest bit", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b880"},
		{"the other of order 8", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"},
		{"p-2", "ebffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p-1", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p+1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p+1 and the highest bit", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
		{"p+2", "efffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"the base point", "0900000000000000000000000000000000000000000000000000000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := hex.DecodeString(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := ecdh.X25519().NewPublicKey(key)
			if err != nil {
				t.Fatal(err)
			}
			_, useless := mine.ECDH(theirs)
			r := record(1)
			r.WireGuardKey = identity.Bytes32(key)
			_, err = identity.SignRecord(r, b.Key, b.Certificate)
			if refused := errors.Is(err, identity.ErrFormat); refused != (useless != nil) {
				t.Errorf("SignRecord: %v; X25519: %v", err, useless)
			}
		})
	}
}
