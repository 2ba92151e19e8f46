package enroll

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"format":1,"certificate":"MAA=","cas":["MAA="],"introducers":["h:1"]}`))
	f.Add(403, []byte(`{"detail":"closed"}`))
	f.Add(503, []byte(`x`))
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		c := newClient("https://127.0.0.1:1", "a", [32]byte{1})
		if err := c.refusal("enroll", status, data); err != nil {
			if status/100 == 5 && errors.Is(err, ErrRefused) {
				t.Errorf("status %d is final", status)
			}
			return
		}
		if r, err := c.read(data, key); err == nil {
			t.Errorf("accepted without the pinned authority: %+v", r)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := parseKey("k", data); err == nil && len(key) != ed25519.PrivateKeySize {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"format":1,"url":"https://192.0.2.1:7443"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if u, err := parseServer(data); err == nil && !strings.HasPrefix(u, "https://") {
			t.Errorf("%q was taken", u)
		}
	})
}
