package pki

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/cbnet-io/cbnet/identity"
)

const keyAdmin = "pki/admin"

// storedAdmin is the administrator as the store holds it.
type storedAdmin struct {
	Format int    `json:"format"`
	Hash   []byte `json:"hash"` // SHA-256 of the token: 256 random bits need no slow hash
}

// Admin checks the administrator's token.
type Admin struct{ hash [sha256.Size]byte }

// EnsureAdmin loads the administrator. On the first start it makes a token,
// hands it to keep, and stores its hash after keep has returned nil: a crash
// between leaves nothing but a file that the next start replaces.
func (s *Service) EnsureAdmin(ctx context.Context, keep func(token string) error) (*Admin, error) {
	var st storedAdmin
	rev, err := load(ctx, s.store, keyAdmin, &st)
	if err != nil {
		return nil, fmt.Errorf("administrator: %w", err)
	}
	if rev == 0 {
		token := "cba_" + newSecret()
		if err := keep(token); err != nil {
			return nil, err
		}
		hash := sha256.Sum256([]byte(token))
		st = storedAdmin{Format: identity.Format, Hash: hash[:]}
		op, err := save(keyAdmin, st, 0)
		if err != nil {
			return nil, err
		}
		if err := s.store.Txn(ctx, op); err != nil {
			return nil, fmt.Errorf("administrator: %w", err)
		}
	}
	if len(st.Hash) != sha256.Size {
		return nil, fmt.Errorf("administrator: stored hash has %d bytes", len(st.Hash))
	}
	return &Admin{hash: [sha256.Size]byte(st.Hash)}, nil
}

// Check reports whether the token is the administrator's, in constant time.
func (a *Admin) Check(token string) bool {
	h := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(h[:], a.hash[:]) == 1
}
