package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/cbnet-io/cbnet/store/kv"
)

const (
	// root is what all our keys begin with, in case the cluster has other users.
	root = "cbnet/"
	// callTimeout bounds calls whose context has no deadline.
	callTimeout = 10 * time.Second
	// openTimeout bounds the start, recovery of a log included.
	openTimeout = time.Minute
	// closeTimeout bounds the stop; past it the process may end: nothing that
	// was acknowledged is lost.
	closeTimeout = 10 * time.Second
	// page is the number of keys that one list request reads.
	page = 500
)

// Options say where the store is.
type Options struct {
	Dir       string       // of the embedded member; made with mode 0700 if missing
	Endpoints []string     // of an external cluster, as "https://HOST:2379"; Dir then holds nothing but the key
	SealKey   string       // file of the sealing key; default Dir/seal.key
	Log       *slog.Logger // nil: none
}

// Store is an open store.
type Store struct {
	client *clientv3.Client
	member *member // nil with an external cluster
	key    *age.X25519Identity
	log    *slog.Logger
	phase  *phase

	closing sync.Once
	closed  error
}

// Open starts the embedded member, or connects to the cluster, and reads the
// sealing key, which it makes if nothing was sealed before. It fails with
// [ErrLocked] when another process has the directory, with [ErrKey] when the
// key is missing, wrong or readable by others.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Dir == "" {
		return nil, errors.New("store: no directory")
	}
	s := &Store{log: o.Log, phase: &phase{start: time.Now()}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := makeDir(o.Dir); err != nil {
		return nil, err
	}
	endpoints, zap := o.Endpoints, newZap(s.log, s.phase)
	if len(endpoints) == 0 {
		if s.member, err = startMember(ctx, o.Dir, zap); err != nil {
			return nil, err
		}
		endpoints = []string{s.member.endpoint()}
	}
	s.client, err = clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: callTimeout, Logger: zap,
		DialKeepAliveTime: 30 * time.Second, DialKeepAliveTimeout: callTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("store: connect to %s: %w", strings.Join(endpoints, ", "), err)
	}
	if s.key, err = s.openKey(ctx, sealKeyFile(o)); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends the connection and stops the embedded member. It may be called
// again, and beside other calls, which then fail.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.close() })
	return s.closed
}

func (s *Store) close() error {
	s.phase.closing.Store(true)
	var errs []error
	if s.client != nil {
		if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("store: close client: %w", err))
		}
	}
	if s.member != nil {
		errs = append(errs, s.member.stop())
	}
	return errors.Join(errs...)
}

// bounded gives a context a deadline if it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, callTimeout)
}

// Get returns a key; kv.ErrNotFound if there is none.
func (s *Store) Get(ctx context.Context, key string) (kv.Item, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := s.client.Get(ctx, root+key)
	if err != nil {
		return kv.Item{}, fmt.Errorf("store: get %s: %w", key, err)
	}
	if len(res.Kvs) == 0 {
		return kv.Item{}, fmt.Errorf("%s: %w", key, kv.ErrNotFound)
	}
	return kv.Item{Key: key, Value: res.Kvs[0].Value, Revision: res.Kvs[0].ModRevision}, nil
}

// List returns the keys with a prefix, sorted, all as of one moment.
func (s *Store) List(ctx context.Context, prefix string) ([]kv.Item, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var out []kv.Item
	end := clientv3.GetPrefixRangeEnd(root + prefix)
	opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page)}
	for from := root + prefix; ; {
		res, err := s.client.Get(ctx, from, opts...)
		if err != nil {
			return nil, fmt.Errorf("store: list %s: %w", prefix, err)
		}
		for _, x := range res.Kvs {
			out = append(out, kv.Item{Key: strings.TrimPrefix(string(x.Key), root), Value: x.Value, Revision: x.ModRevision})
		}
		if !res.More || len(res.Kvs) == 0 {
			return out, nil
		}
		from = string(res.Kvs[len(res.Kvs)-1].Key) + "\x00"
		opts = []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(page), clientv3.WithRev(res.Header.Revision)}
	}
}

// Put writes a key whether or not it exists.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	return s.Txn(ctx, kv.Put(key, value))
}

// Create writes a key that must not exist; kv.ErrExists if it does.
func (s *Store) Create(ctx context.Context, key string, value []byte) error {
	return s.Txn(ctx, kv.Create(key, value))
}

// Update writes a key whose last change must be revision; kv.ErrConflict if it
// is not.
func (s *Store) Update(ctx context.Context, key string, value []byte, revision int64) error {
	return s.Txn(ctx, kv.Update(key, value, revision))
}

// Delete removes a key; one that does not exist is no error.
func (s *Store) Delete(ctx context.Context, key string) error { return s.Txn(ctx, kv.Delete(key)) }

// Txn does all operations or none; they are on disk when it returns nil. No key
// may be in it twice. After kv.ErrExists and kv.ErrConflict nothing was done;
// after any other error nobody knows.
func (s *Store) Txn(ctx context.Context, ops ...kv.Op) error {
	if len(ops) == 0 {
		return nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	var conditions []clientv3.Cmp
	var then, otherwise []clientv3.Op
	var checked []kv.Op // the operations of conditions and otherwise
	for _, op := range ops {
		key := root + op.Key
		switch op.Verb {
		case kv.VerbCreate, kv.VerbUpdate:
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", op.Revision))
			otherwise = append(otherwise, clientv3.OpGet(key, clientv3.WithKeysOnly()))
			checked = append(checked, op)
		}
		if op.Verb == kv.VerbDelete {
			then = append(then, clientv3.OpDelete(key))
		} else {
			then = append(then, clientv3.OpPut(key, string(op.Value)))
		}
	}
	res, err := s.client.Txn(ctx).If(conditions...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		return fmt.Errorf("store: write %s: %w", ops[0].Key, err)
	}
	if res.Succeeded {
		return nil
	}
	for i, op := range checked {
		var revision int64
		if found := res.Responses[i].GetResponseRange().GetKvs(); len(found) > 0 {
			revision = found[0].ModRevision
		}
		if revision == op.Revision {
			continue
		}
		if op.Verb == kv.VerbCreate {
			return fmt.Errorf("%s: %w", op.Key, kv.ErrExists)
		}
		return fmt.Errorf("%s: %w", op.Key, kv.ErrConflict)
	}
	return fmt.Errorf("%s: %w", ops[0].Key, kv.ErrConflict)
}
