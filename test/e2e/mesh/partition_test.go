package mesh_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// TestPartition: two halves of a mesh that are cut off each other keep working,
// and are one again fifteen seconds after the cut ends, by themselves.
func TestPartition(t *testing.T) {
	t.Parallel()
	length := 2 * time.Minute
	if testing.Short() {
		length = 20 * time.Second
	}
	const bound = 15 * time.Second
	w := threeSites(t, 12)
	left, right := w.at(w.public), slices.Concat(w.at(w.cloud), w.at(w.home))
	last := w.startAll(t)
	mustReach(t, "all pairs", w.nodes, w.nodes, last, 20*time.Second)
	converged(t, w.nodes)
	remembers(t, w.nodes)

	streams := slices.Concat(startStreams(t, left), startStreams(t, right[1:]))
	w.lab.Internet.Split(w.public)
	cut := time.Now()
	if _, err := reach(t.Context(), left[:1], right[:1], cut, cut.Add(time.Second)); err == nil {
		t.Fatal("the cut does not cut")
	}
	wait(t, cut.Add(length/2))
	// A half knows everything that it needs: a node of it may be killed.
	n := right[0]
	n.kill(t)
	n.start(t)
	took := mustReach(t, "restart within a half", []*node{n}, right[1:], n.began, 2*time.Second)
	reachFigure(t, fmt.Sprintf("kill -9 and start of %s within one half of a partition: to the others of the half", n.name), took, 2*time.Second)
	wait(t, cut.Add(length))
	mustFlow(t, fmt.Sprintf("inside both halves of a partition of %s", length), streams)

	w.lab.Internet.Heal()
	healed := time.Now()
	// Nothing of ours is sent before the daemons say so.
	saw := eventually(t, bound, "all nodes see each other again", func(ctx context.Context) error { return allUp(ctx, w.nodes) })
	figure(t, fmt.Sprintf("a partition of %s has ended: all of %d nodes see each other up", length, len(w.nodes)), saw, bound)
	took = mustReach(t, "all pairs after the partition", w.nodes, w.nodes, healed, bound)
	reachFigure(t, fmt.Sprintf("a partition of %s has ended", length), took, bound)
}

// wait lets time pass, until the test ends at the latest.
func wait(t *testing.T, until time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(until)):
	case <-t.Context().Done():
	}
}

// at returns the nodes at a site.
func (w *world) at(s *netlab.Site) (nodes []*node) {
	for _, n := range w.nodes {
		if n.host.Site() == s {
			nodes = append(nodes, n)
		}
	}
	return nodes
}
