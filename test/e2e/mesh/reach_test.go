package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// reach pings every node of one set from every other one of another over IPv4
// and IPv6, again and again until each has answered. It returns how long after
// the moment since each did, sorted; for those that did not by the deadline there
// is an error. All nodes ask at the same time.
func reach(ctx context.Context, from, to []*node, since, deadline time.Time) ([]time.Duration, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards the following
		took []time.Duration
		errs []error
	)
	for _, n := range from {
		wg.Go(func() {
			start := time.Now()
			results, err := n.host.Ping(ctx, addresses(to, n))
			mu.Lock()
			defer mu.Unlock()
			for _, r := range results {
				if r.OK {
					took = append(took, start.Sub(since)+r.At)
				}
			}
			errs = append(errs, err, unanswered(n, to, results))
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took, errors.Join(errs...)
}

// addresses are the overlay addresses of all nodes but one.
func addresses(nodes []*node, but *node) (list []netip.Addr) {
	for _, n := range nodes {
		if n != but {
			list = append(list, n.ip, n.ip6)
		}
	}
	return list
}

// unanswered says who did not answer a node.
func unanswered(from *node, to []*node, results []netlab.PingResult) error {
	var names []string
	silent := netlab.Unreachable(results)
	for _, n := range to {
		switch v4, v6 := slices.Contains(silent, n.ip), slices.Contains(silent, n.ip6); {
		case v4 && v6:
			names = append(names, n.name)
		case v4:
			names = append(names, n.name+" (IPv4)")
		case v6:
			names = append(names, n.name+" (IPv6)")
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s hears nothing of %s", from.name, strings.Join(names, ", "))
}

// mustReach is reach within a limit; it fails the test if that is missed, and
// returns how long after since the last answer came.
func mustReach(t *testing.T, what string, from, to []*node, since time.Time, limit time.Duration) []time.Duration {
	t.Helper()
	took, err := reach(t.Context(), from, to, since, since.Add(limit))
	if err != nil {
		_, late := reach(t.Context(), from, to, since, time.Now().Add(15*time.Second))
		t.Fatalf("%s: not within %s (%d pings answered):\n%v\nall answered after %s: %v",
			what, limit, len(took), err, time.Since(since).Round(time.Millisecond), late)
	}
	return took
}

// reachFigure prints how long the pings took, and the bound they kept.
func reachFigure(t *testing.T, what string, took []time.Duration, bound time.Duration) {
	t.Helper()
	part := func(percent int) time.Duration { return took[(len(took)-1)*percent/100].Round(time.Millisecond) }
	t.Logf("FIGURE e2e/mesh: %s: all %d pings (IPv4 and IPv6) answered after %s (bound %s; half after %s, 99%% after %s)",
		what, len(took), part(100), bound, part(50), part(99))
}

// figure prints a measured time and the bound it kept.
func figure(t *testing.T, what string, took, bound time.Duration) {
	t.Helper()
	t.Logf("FIGURE e2e/mesh: %s: %s (bound %s)", what, took.Round(time.Millisecond), bound)
}
