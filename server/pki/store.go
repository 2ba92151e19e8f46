package pki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Store is where the registry keeps its state. *store.Store is one; errors are
// those of package kv. Seal hides bytes from whoever reads the store.
type Store interface {
	Get(ctx context.Context, key string) (kv.Item, error)
	List(ctx context.Context, prefix string) ([]kv.Item, error)
	Txn(ctx context.Context, ops ...kv.Op) error
	Seal(plain []byte) ([]byte, error)
	Unseal(sealed []byte) ([]byte, error)
}

// maxTries bounds how often a transaction is repeated when others are faster.
// Each time at least one of them gets through.
const maxTries = 64

// retry repeats f while another writer was faster.
func retry(ctx context.Context, f func() error) error {
	var err error
	for range maxTries {
		err = f()
		if !errors.Is(err, kv.ErrConflict) && !errors.Is(err, kv.ErrExists) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return err
}

// load decodes the item at key into out and returns its revision, 0 if there is
// none.
func load(ctx context.Context, s Store, key string, out any) (int64, error) {
	item, err := s.Get(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(item.Value, out); err != nil {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	return item.Revision, nil
}

// save returns the operation that writes v at key, if its revision is still the
// given one; 0 means that it must not exist.
func save(key string, v any, revision int64) (kv.Op, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return kv.Op{}, fmt.Errorf("encode %s: %w", key, err)
	}
	if revision == 0 {
		return kv.Create(key, b), nil
	}
	return kv.Update(key, b, revision), nil
}
