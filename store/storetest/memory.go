// Package storetest has a store in memory for tests of what works on a store,
// and the conformance suite that it and the real store pass alike.
package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Memory is a store in memory. The zero value is empty and ready. It is safe
// for concurrent use and starts no goroutine.
type Memory struct {
	mu       sync.Mutex
	revision int64              // guarded by mu
	items    map[string]kv.Item // guarded by mu
	watches  map[chan kv.Change]string
}

// Get returns a key; ErrNotFound if there is none.
func (m *Memory) Get(ctx context.Context, key string) (kv.Item, error) {
	if err := ctx.Err(); err != nil {
		return kv.Item{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	item, ok := m.items[key]
	if !ok {
		return kv.Item{}, fmt.Errorf("%s: %w", key, kv.ErrNotFound)
	}
	item.Value = bytes.Clone(item.Value)
	return item, nil
}

// List returns the keys with a prefix, sorted.
func (m *Memory) List(ctx context.Context, prefix string) ([]kv.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []kv.Item
	for key, item := range m.items {
		if strings.HasPrefix(key, prefix) {
			item.Value = bytes.Clone(item.Value)
			out = append(out, item)
		}
	}
	slices.SortFunc(out, func(a, b kv.Item) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

// Put writes a key.
func (m *Memory) Put(ctx context.Context, key string, value []byte) error {
	return m.Txn(ctx, kv.Put(key, value))
}

// Create writes a key that must not exist.
func (m *Memory) Create(ctx context.Context, key string, value []byte) error {
	return m.Txn(ctx, kv.Create(key, value))
}

// Update writes a key whose last change must be revision.
func (m *Memory) Update(ctx context.Context, key string, value []byte, revision int64) error {
	return m.Txn(ctx, kv.Update(key, value, revision))
}

// Delete removes a key.
func (m *Memory) Delete(ctx context.Context, key string) error { return m.Txn(ctx, kv.Delete(key)) }

// Txn does all operations or none.
func (m *Memory) Txn(ctx context.Context, ops ...kv.Op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(ops) > kv.MaxOps {
		return fmt.Errorf("transaction of %d operations, at most %d", len(ops), kv.MaxOps)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		item, ok := m.items[op.Key]
		if op.Verb == kv.VerbCreate && ok {
			return fmt.Errorf("%s: %w", op.Key, kv.ErrExists)
		}
		if op.Verb == kv.VerbUpdate && item.Revision != op.Revision {
			return fmt.Errorf("%s: %w", op.Key, kv.ErrConflict)
		}
	}
	m.revision++
	if m.items == nil {
		m.items = make(map[string]kv.Item)
	}
	for _, op := range ops {
		change := kv.Change{Item: kv.Item{Key: op.Key, Value: bytes.Clone(op.Value), Revision: m.revision}}
		if op.Verb == kv.VerbDelete {
			if _, ok := m.items[op.Key]; !ok {
				continue
			}
			change.Deleted, change.Value = true, nil
			delete(m.items, op.Key)
		} else {
			m.items[op.Key] = change.Item
		}
		m.tell(change)
	}
	return nil
}

// tell gives a change to the watchers; one that is slow is told to list again.
func (m *Memory) tell(c kv.Change) {
	for ch, prefix := range m.watches {
		if !strings.HasPrefix(c.Key, prefix) {
			continue
		}
		select {
		case ch <- c:
			continue
		default:
		}
		for len(ch) > 0 {
			<-ch
		}
		ch <- kv.Change{Reset: true}
	}
}

// Watch reports changes of keys with a prefix until ctx ends.
func (m *Memory) Watch(ctx context.Context, prefix string) <-chan kv.Change {
	ch := make(chan kv.Change, 256)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watches == nil {
		m.watches = make(map[chan kv.Change]string)
	}
	m.watches[ch] = prefix
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watches, ch)
		close(ch)
	})
	return ch
}

// sealMark is what sealed bytes begin with.
var sealMark = []byte("sealed:")

// Seal makes bytes unreadable at a glance. It is no encryption.
func (m *Memory) Seal(plain []byte) ([]byte, error) {
	out := bytes.Clone(sealMark)
	for _, b := range plain {
		out = append(out, ^b)
	}
	return out, nil
}

// Unseal undoes Seal.
func (m *Memory) Unseal(sealed []byte) ([]byte, error) {
	body, ok := bytes.CutPrefix(sealed, sealMark)
	if !ok {
		return nil, errors.New("not sealed")
	}
	out := make([]byte, len(body))
	for i, b := range body {
		out[i] = ^b
	}
	return out, nil
}

// Keys returns all keys, sorted, for tests that compare what is left.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for k := range m.items {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
