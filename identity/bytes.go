package identity

import (
	"encoding/base64"
	"fmt"
)

// Bytes32 is a key or a hash, in JSON as base64.
type Bytes32 [32]byte

// MarshalText implements encoding.TextMarshaler.
func (b Bytes32) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, b[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes32) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if err != nil || len(raw) != len(b) {
		return fmt.Errorf("want 32 bytes in base64: %w", ErrFormat)
	}
	copy(b[:], raw)
	return nil
}
