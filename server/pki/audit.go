package pki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/store/kv"
)

const (
	prefixAudit = "pki/audit/"
	// refusedBurst and refusedRate bound what strangers can make the log grow
	// by: entries of refusals, at once and a second.
	refusedBurst = 200
	refusedRate  = 1
	// keptAudit is how many entries the store keeps at least; the file keeps
	// all. Every pruneAudit entries the older ones go.
	keptAudit  = 10_000
	pruneAudit = 1_000
	// pruneBatch is how many entries go in one transaction; etcd takes 128.
	pruneBatch = 100
)

// Outcome says how an audited action ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
)

// Entry is one line of the audit log.
type Entry struct {
	Time    time.Time `json:"time"`
	Action  string    `json:"action"` // invite, enroll, renew, remove, login, cloud add, cloud sweep, apply, delete, exec
	Outcome Outcome   `json:"outcome"`
	Node    string    `json:"node,omitempty"`
	Object  string    `json:"object,omitempty"` // the cloud or MCIS
	Remote  string    `json:"remote,omitempty"` // ADDRESS:PORT the request came from
	Key     string    `json:"key,omitempty"`    // fingerprint of the key it came with
	Detail  string    `json:"detail,omitempty"`
}

// audit appends entries to the store and to a file, and never changes one. The
// store keeps the latest, the file all.
type audit struct {
	store   Store
	path    string
	log     *slog.Logger
	refused *rate.Limiter

	mu      sync.Mutex // guards the fields below, and the order of entries
	file    *os.File
	last    int64 // number of the last entry
	dropped int   // refusals not written since the last entry
	added   int   // entries since the store was pruned
}

func newAudit(store Store, path string, log *slog.Logger) *audit {
	return &audit{store: store, path: path, log: log, refused: rate.NewLimiter(refusedRate, refusedBurst)}
}

// add appends an entry. Its failure is an error in the log and not the
// caller's: what happened has happened. It outlives the request's context.
func (a *audit) add(ctx context.Context, now time.Time, e Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	e.Time = now.UTC()
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Outcome == Refused && !a.refused.AllowN(now, 1) {
		a.dropped++
		return
	}
	if a.dropped > 0 {
		e.Detail += fmt.Sprintf(" (%d more refusals before this one were not written)", a.dropped)
		a.dropped = 0
	}
	line, err := json.Marshal(e)
	if err == nil {
		err = errors.Join(a.appendLocked(line), a.storeLocked(ctx, now, line))
	}
	if a.added++; err == nil && a.added >= pruneAudit {
		a.added = 0
		err = a.pruneLocked(ctx)
	}
	if err != nil {
		a.log.Error("audit entry not written", "err", err, "action", e.Action, "node", e.Node)
	}
}

// storeLocked writes the entry under a key that sorts by time and is nobody
// else's.
func (a *audit) storeLocked(ctx context.Context, now time.Time, line []byte) error {
	a.last = max(a.last, now.UnixNano())
	return retry(ctx, func() error {
		a.last++
		return a.store.Txn(ctx, kv.Create(fmt.Sprintf("%s%020d", prefixAudit, a.last), line))
	})
}

// pruneLocked removes the oldest entries from the store: it must not fill up.
func (a *audit) pruneLocked(ctx context.Context) error {
	items, err := a.store.List(ctx, prefixAudit)
	if err != nil {
		return fmt.Errorf("prune audit log: %w", err)
	}
	old := items[:max(0, len(items)-keptAudit)]
	for batch := range slices.Chunk(old, pruneBatch) {
		ops := make([]kv.Op, 0, len(batch))
		for _, it := range batch {
			ops = append(ops, kv.Delete(it.Key))
		}
		if err := a.store.Txn(ctx, ops...); err != nil {
			return fmt.Errorf("prune audit log: %w", err)
		}
	}
	return nil
}

// openLocked opens the file, anew when another one lies in its place: so it may
// be moved away at any time. Whoever made it, only its owner may read it.
func (a *audit) openLocked() error {
	if a.file != nil {
		have, err := a.file.Stat()
		if err != nil {
			return err
		}
		if there, err := os.Stat(a.path); err == nil && os.SameFile(have, there) {
			return nil
		}
		if err := a.file.Close(); err != nil {
			return err
		}
		a.file = nil
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(err, f.Close())
	}
	a.file = f
	return nil
}

// appendLocked writes the entry to the file.
func (a *audit) appendLocked(line []byte) error {
	if a.path == "" {
		return nil
	}
	if err := a.openLocked(); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	if _, err := a.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return a.file.Sync()
}

func (a *audit) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}

// AuditLog returns the entries that the store keeps, in the order of time.
func (s *Service) AuditLog(ctx context.Context) ([]Entry, error) {
	items, err := s.store.List(ctx, prefixAudit)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	out := make([]Entry, 0, len(items))
	for _, it := range items {
		var e Entry
		if err := json.Unmarshal(it.Value, &e); err != nil {
			return nil, fmt.Errorf("audit log: %s: %w", it.Key, err)
		}
		out = append(out, e)
	}
	return out, nil
}
