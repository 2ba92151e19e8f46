package mesh

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// meeter calls those introducers of the bundle that this node has not spoken to
// and that are not among the members, however many others it can reach. Two
// introducers that start at the same moment do not find each other, and nobody
// else joins those who came through the one with those who came through the
// other. And until somebody has told this node at which address it is seen, even
// members are called: one that only others came to does not know its own public
// address behind a NAT. It belongs to joinLoop.
type meeter struct {
	m     *Mesh
	met   map[string]bool // addresses that have answered
	next  time.Time
	pause time.Duration
}

func newMeeter(m *Mesh) *meeter {
	return &meeter{m: m, met: map[string]bool{}, pause: firstRetry}
}

// unmet returns the addresses to call.
func (t *meeter) unmet() []string {
	var members []string
	t.m.mu.Lock()
	seen := t.m.where.observed.IsValid()
	t.m.mu.Unlock()
	if seen {
		members = t.m.introducersThat(func(*link) bool { return true })
	}
	return slices.DeleteFunc(slices.Clone(t.m.cfg.Bundle.Introducers), func(a string) bool {
		return t.met[a] || slices.Contains(members, a) || t.m.isSelf(a)
	})
}

// meet calls them if it is time, all at once, and returns how long until it is
// again; that is doubled each time, up to 15 s. Zero means that there is nobody.
func (t *meeter) meet(ctx context.Context) time.Duration {
	addrs := t.unmet()
	if len(addrs) == 0 {
		t.pause = firstRetry
		return 0
	}
	if now := t.m.now(); now.Before(t.next) {
		return t.next.Sub(now)
	}
	met := make([]bool, len(addrs))
	var g errgroup.Group
	for i, a := range addrs {
		g.Go(func() error {
			err := t.m.callAny(ctx, []string{a})
			met[i] = err == nil
			if err != nil {
				t.m.log.Debug("introducers not reached", "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // there are no errors
	for i, a := range addrs {
		t.met[a] = t.met[a] || met[i]
	}
	wait := t.pause + rand.N(t.pause)
	t.pause = min(2*t.pause, 15*time.Second)
	t.next = t.m.now().Add(wait)
	return wait
}
