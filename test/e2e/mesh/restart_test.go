package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// remembers waits until each of the nodes has all others of them on its disk. A
// disk that takes long is written to for a tenth of the time.
func remembers(t *testing.T, nodes []*node) {
	t.Helper()
	took := eventually(t, time.Minute, "all remember each other", func(context.Context) error {
		for _, n := range nodes {
			var saved struct{ Peers []json.RawMessage }
			data, err := os.ReadFile(filepath.Join(n.path("state"), "peers.json"))
			if err == nil {
				err = json.Unmarshal(data, &saved)
			}
			if err != nil {
				return err
			}
			if len(saved.Peers) < len(nodes)-1 {
				return fmt.Errorf("%s has saved %d peers of %d", n.name, len(saved.Peers), len(nodes)-1)
			}
		}
		return nil
	})
	t.Logf("%d nodes have saved each other %s after they were all up", len(nodes), took.Round(time.Millisecond))
}

// TestRestart: a node of each site is killed, and stopped, and found by all
// others two seconds after its start, while every introducer is down.
func TestRestart(t *testing.T) {
	const bound = 2 * time.Second
	w := threeSites(t, 8)
	last := w.startAll(t)
	mustReach(t, "all pairs", w.nodes, w.nodes, last, 15*time.Second)
	converged(t, w.nodes)
	remembers(t, w.nodes)
	for _, n := range w.nodes[:introducers] {
		n.kill(t)
	}
	members := w.nodes[introducers:]
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		for _, n := range []*node{members[0], members[1], members[2]} {
			others := slices.DeleteFunc(slices.Clone(members), func(o *node) bool { return o == n })
			if sig == syscall.SIGKILL {
				n.kill(t)
			} else {
				n.stop(t)
			}
			n.start(t)
			what := fmt.Sprintf("%v and start of %s at site %s, introducers down", sig, n.name, n.host.Site().Name)
			took := mustReach(t, what+", from all others", others, []*node{n}, n.began, bound)
			reachFigure(t, what+": from all others", took, bound)
			took = mustReach(t, what+", to all others", []*node{n}, others, n.began, bound)
			reachFigure(t, what+": to all others", took, bound)
		}
	}
}
