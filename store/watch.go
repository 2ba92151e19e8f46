package store

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/cbnet-io/cbnet/store/kv"
)

// watchBuffer is how many changes wait for a slow watcher before it is told to
// list again.
const watchBuffer = 256

// Watch reports the changes of keys with a prefix that happen after it returns,
// in their order. The channel is closed when ctx ends. When changes may have
// been missed (a slow reader, a lost connection, compaction) one with Reset
// takes their place: list again then.
func (s *Store) Watch(ctx context.Context, prefix string) <-chan kv.Change {
	ch := make(chan kv.Change, watchBuffer)
	from, known := s.revision(ctx)
	go func() {
		defer close(ch)
		for ctx.Err() == nil {
			if !known {
				give(ch, kv.Change{Reset: true})
				if from, known = s.revision(ctx); !known {
					sleep(ctx, time.Second)
					continue
				}
			}
			from = s.follow(ctx, prefix, from+1, ch)
			known = from > 0
		}
	}()
	return ch
}

// revision returns the store's present revision.
func (s *Store) revision(ctx context.Context) (int64, bool) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := s.client.Get(ctx, root, clientv3.WithCountOnly())
	if err != nil {
		return 0, false
	}
	return res.Header.Revision, true
}

// follow passes on changes from a revision until the watch breaks. It returns
// the last revision it has passed on, or 0 when some were missed.
func (s *Store) follow(ctx context.Context, prefix string, from int64, ch chan kv.Change) int64 {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	last := from - 1
	for res := range s.client.Watch(ctx, root+prefix, clientv3.WithPrefix(), clientv3.WithRev(from)) {
		if res.CompactRevision > 0 {
			return 0
		}
		if err := res.Err(); err != nil {
			s.log.Debug("watch is interrupted", "prefix", prefix, "err", err)
			break
		}
		for _, ev := range res.Events {
			give(ch, kv.Change{
				Item:    kv.Item{Key: strings.TrimPrefix(string(ev.Kv.Key), root), Value: ev.Kv.Value, Revision: ev.Kv.ModRevision},
				Deleted: ev.Type == clientv3.EventTypeDelete,
			})
			last = ev.Kv.ModRevision
		}
	}
	sleep(ctx, 100*time.Millisecond) // a watch that breaks at once is not asked for in a tight loop
	return last
}

// give sends to a channel that only the caller sends to; when it is full all
// that waits gives way to one Reset.
func give(ch chan kv.Change, c kv.Change) {
	select {
	case ch <- c:
		return
	default:
	}
	for {
		select {
		case <-ch:
			continue
		default:
		}
		break
	}
	ch <- kv.Change{Reset: true}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
