package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/store/kv"
)

// Store is everything that a store can do.
type Store interface {
	Get(ctx context.Context, key string) (kv.Item, error)
	List(ctx context.Context, prefix string) ([]kv.Item, error)
	Put(ctx context.Context, key string, value []byte) error
	Create(ctx context.Context, key string, value []byte) error
	Update(ctx context.Context, key string, value []byte, revision int64) error
	Delete(ctx context.Context, key string) error
	Txn(ctx context.Context, ops ...kv.Op) error
	Watch(ctx context.Context, prefix string) <-chan kv.Change
	Seal(plain []byte) ([]byte, error)
	Unseal(sealed []byte) ([]byte, error)
}

var _ Store = (*Memory)(nil)

// Conformance runs what every store must do against s. It writes below
// "conformance/".
func Conformance(t *testing.T, s Store) {
	t.Run("write and read", func(t *testing.T) { testWrite(t, s) })
	t.Run("list", func(t *testing.T) { testList(t, s) })
	t.Run("transaction", func(t *testing.T) { testTxn(t, s) })
	t.Run("watch", func(t *testing.T) { testWatch(t, s) })
	t.Run("seal", func(t *testing.T) { testSeal(t, s) })
}

// is fails unless err is want (nil included).
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func testWrite(t *testing.T, s Store) {
	ctx := t.Context()
	const key = "conformance/write/a"
	_, err := s.Get(ctx, key)
	is(t, "get of nothing", err, kv.ErrNotFound)
	is(t, "update of nothing", s.Update(ctx, key, []byte("x"), 7), kv.ErrConflict)
	is(t, "create", s.Create(ctx, key, []byte("1")), nil)
	is(t, "create again", s.Create(ctx, key, []byte("2")), kv.ErrExists)
	first, err := s.Get(ctx, key)
	is(t, "get", err, nil)
	if first.Key != key || string(first.Value) != "1" || first.Revision <= 0 {
		t.Errorf("got %+v", first)
	}
	is(t, "update", s.Update(ctx, key, []byte("3"), first.Revision), nil)
	is(t, "update from an old revision", s.Update(ctx, key, []byte("4"), first.Revision), kv.ErrConflict)
	second, err := s.Get(ctx, key)
	is(t, "get", err, nil)
	if string(second.Value) != "3" || second.Revision <= first.Revision {
		t.Errorf("got %+v after %+v", second, first)
	}
	is(t, "put", s.Put(ctx, key, nil), nil)
	is(t, "delete", s.Delete(ctx, key), nil)
	is(t, "delete of nothing", s.Delete(ctx, key), nil)
	_, err = s.Get(ctx, key)
	is(t, "get after delete", err, kv.ErrNotFound)
	is(t, "update after delete", s.Update(ctx, key, nil, second.Revision), kv.ErrConflict)
}

func testList(t *testing.T, s Store) {
	ctx := t.Context()
	const n = 1203 // more than one page
	var want []string
	for i := 0; i < n; i += 100 {
		var ops []kv.Op
		for j := i; j < min(i+100, n); j++ {
			key := fmt.Sprintf("conformance/list/%05d", j)
			want = append(want, key)
			ops = append(ops, kv.Put(key, []byte(key)))
		}
		is(t, "put", s.Txn(ctx, ops...), nil)
	}
	is(t, "put", s.Put(ctx, "conformance/listed", nil), nil)
	items, err := s.List(ctx, "conformance/list/")
	is(t, "list", err, nil)
	var got []string
	for _, item := range items {
		got = append(got, item.Key)
		if string(item.Value) != item.Key || item.Revision <= 0 {
			t.Fatalf("item %+v", item)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	if none, err := s.List(ctx, "conformance/none/"); err != nil || len(none) != 0 {
		t.Errorf("list of nothing: %v, %v", none, err)
	}
}

func testTxn(t *testing.T, s Store) {
	ctx := t.Context()
	const a, b, c = "conformance/txn/a", "conformance/txn/b", "conformance/txn/c"
	is(t, "create two", s.Txn(ctx, kv.Create(a, []byte("1")), kv.Create(b, []byte("1"))), nil)
	is(t, "one exists", s.Txn(ctx, kv.Put(a, []byte("2")), kv.Create(c, nil), kv.Create(b, nil)), kv.ErrExists)
	item, err := s.Get(ctx, a)
	is(t, "get", err, nil)
	if string(item.Value) != "1" {
		t.Errorf("half of a refused transaction was done: %s", item.Value)
	}
	_, err = s.Get(ctx, c)
	is(t, "get of the refused", err, kv.ErrNotFound)
	is(t, "one is stale", s.Txn(ctx, kv.Delete(b), kv.Update(a, nil, item.Revision+1000)), kv.ErrConflict)
	is(t, "all right", s.Txn(ctx, kv.Delete(b), kv.Update(a, []byte("3"), item.Revision), kv.Put(c, nil)), nil)
	items, err := s.List(ctx, "conformance/txn/")
	is(t, "list", err, nil)
	if len(items) != 2 || items[0].Key != a || string(items[0].Value) != "3" || items[1].Key != c {
		t.Errorf("items %+v", items)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if s.Put(ctx, a, nil) == nil {
		t.Error("put succeeds on an ended context")
	}
}

func testWatch(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	is(t, "put before", s.Put(ctx, "conformance/watch/old", nil), nil)
	ch := s.Watch(ctx, "conformance/watch/")
	is(t, "put", s.Put(ctx, "conformance/watch/a", []byte("1")), nil)
	is(t, "put of another", s.Put(ctx, "conformance/watched", nil), nil)
	is(t, "delete", s.Delete(ctx, "conformance/watch/a"), nil)
	var got []string
	for len(got) < 2 {
		select {
		case c := <-ch:
			got = append(got, fmt.Sprintf("%s %q deleted=%t reset=%t", c.Key, c.Value, c.Deleted, c.Reset))
		case <-time.After(10 * time.Second):
			t.Fatalf("no more changes after %q", got)
		}
	}
	want := []string{
		`conformance/watch/a "1" deleted=false reset=false`,
		`conformance/watch/a "" deleted=true reset=false`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("changes (-want +got):\n%s", d)
	}
	cancel()
	for deadline := time.After(10 * time.Second); ; {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the channel stays open after the context's end")
		}
	}
}

func testSeal(t *testing.T, s Store) {
	const secret = "cb1.a secret that must not be read"
	sealed, err := s.Seal([]byte(secret))
	is(t, "seal", err, nil)
	if strings.Contains(string(sealed), "secret") {
		t.Error("the secret shows in what was sealed")
	}
	plain, err := s.Unseal(sealed)
	is(t, "unseal", err, nil)
	if string(plain) != secret {
		t.Errorf("unsealed %q", plain)
	}
	if _, err := s.Unseal([]byte("something else")); err == nil {
		t.Error("anything can be unsealed")
	}
}
