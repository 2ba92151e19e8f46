package servertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Store keeps items in memory. The zero value is empty and ready. It outlives
// the servers that use it, as a disk does.
type Store struct {
	mu       sync.Mutex // guards the fields below
	items    map[string]kv.Item
	revision int64
	fail     error
}

// Fail makes every call return err until Fail(nil).
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Get implements the Store of its users.
func (s *Store) Get(_ context.Context, key string) (kv.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return kv.Item{}, s.fail
	}
	it, ok := s.items[key]
	if !ok {
		return kv.Item{}, fmt.Errorf("%s: %w", key, kv.ErrNotFound)
	}
	return it, nil
}

// List implements the Store of its users.
func (s *Store) List(_ context.Context, prefix string) ([]kv.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	var out []kv.Item
	for k, it := range s.items {
		if strings.HasPrefix(k, prefix) {
			out = append(out, it)
		}
	}
	slices.SortFunc(out, func(a, b kv.Item) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Txn implements the Store of its users.
func (s *Store) Txn(_ context.Context, ops ...kv.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, op := range ops {
		it, ok := s.items[op.Key]
		switch {
		case op.Verb == kv.VerbCreate && ok:
			return fmt.Errorf("%s: %w", op.Key, kv.ErrExists)
		case op.Verb == kv.VerbUpdate && it.Revision != op.Revision:
			return fmt.Errorf("%s: %w", op.Key, kv.ErrConflict)
		}
	}
	if s.items == nil {
		s.items = make(map[string]kv.Item)
	}
	s.revision++
	for _, op := range ops {
		if op.Verb == kv.VerbDelete {
			delete(s.items, op.Key)
			continue
		}
		s.items[op.Key] = kv.Item{Key: op.Key, Value: bytes.Clone(op.Value), Revision: s.revision}
	}
	return nil
}

// sealMark starts what Seal returns; the bytes after it are turned over, so that
// a test that looks for a secret in the store does not find it.
var sealMark = []byte("sealed:")

// Seal implements the Store of its users.
func (s *Store) Seal(plain []byte) ([]byte, error) {
	return append(bytes.Clone(sealMark), flip(plain)...), nil
}

// Unseal implements the Store of its users.
func (s *Store) Unseal(sealed []byte) ([]byte, error) {
	b, ok := bytes.CutPrefix(sealed, sealMark)
	if !ok {
		return nil, errors.New("not sealed")
	}
	return flip(b), nil
}

func flip(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = ^c
	}
	return out
}

// Dump returns all keys and values in one piece, to look for what must not be
// there.
func (s *Store) Dump() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	for k, it := range s.items {
		b = append(b, k...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(it.Value)))
		b = append(b, it.Value...)
	}
	return b
}
