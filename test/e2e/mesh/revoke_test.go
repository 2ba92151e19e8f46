package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// refused is how soon everyone has to refuse a revoked node.
const refused = 3 * time.Second

// TestRevoke: all nodes refuse one that is revoked at any of them within three
// seconds, and whatever it does; its name with another key works.
func TestRevoke(t *testing.T) {
	size := 50
	if testing.Short() {
		t.Parallel()
		size = 8
	}
	w := threeSites(t, size)
	last := w.startAll(t)
	mustReach(t, "all pairs", w.nodes, w.nodes, last, 60*time.Second)
	converged(t, w.nodes)
	bad, any := w.nodes[4], w.nodes[3]
	others := slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n == bad })

	began := w.revoke(t, bad, any)
	took := refusedWithin(t, others, bad, began, refused)
	figure(t, fmt.Sprintf("%d nodes: all have dropped a node after `cbctl node revoke` was called at one of them", size), took, refused)

	t.Run("others restart", func(t *testing.T) {
		for i, n := range others[:3] {
			n.restart(t, []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2])
		}
		bad.ignorant(t)
		bad.start(t)
		mustReach(t, "restarted nodes", others[:3], others, time.Now(), 5*time.Second)
		stays(t, others, bad)
	})
	t.Run("its own restart", func(t *testing.T) {
		if !bad.daemon.ended() {
			bad.kill(t)
		}
		if err := os.RemoveAll(bad.path("state")); err != nil {
			t.Fatal(err)
		}
		bad.start(t)
		stays(t, others, bad)
	})
	t.Run("another key", func(t *testing.T) {
		if !bad.daemon.ended() {
			bad.kill(t)
		}
		bad.issue(t)
		bad.start(t)
		took := mustReach(t, "the name with another key", others, []*node{bad}, bad.began, 10*time.Second)
		reachFigure(t, fmt.Sprintf("%d nodes: a revoked name with another key: from all others", size), took, 10*time.Second)
	})
}

// TestRevokeDuringPartition: the half that cannot hear of a revocation hears of
// it when the partition ends.
func TestRevokeDuringPartition(t *testing.T) {
	t.Parallel()
	const bound = 15 * time.Second // that of a partition
	w := threeSites(t, 9)
	last := w.startAll(t)
	mustReach(t, "all pairs", w.nodes, w.nodes, last, 20*time.Second)
	converged(t, w.nodes)
	inside, outside := w.at(w.public), slices.Concat(w.at(w.cloud), w.at(w.home))
	bad, ignorant := outside[2], slices.Concat(outside[:2], outside[3:])

	w.lab.Internet.Split(w.public)
	wait(t, time.Now().Add(5*time.Second))
	w.revoke(t, bad, inside[0])
	eventually(t, refused, "its half refuses the revoked node", func(ctx context.Context) error { return unknown(ctx, inside, bad) })
	wait(t, time.Now().Add(5*time.Second))
	if _, err := reach(t.Context(), ignorant, []*node{bad}, time.Now(), time.Now().Add(2*time.Second)); err != nil {
		t.Errorf("the half that cannot know refuses already: %v", err)
	}
	w.lab.Internet.Heal()
	took := refusedWithin(t, append(inside, ignorant...), bad, time.Now(), bound)
	figure(t, "a partition has ended: the half that could not know of a revocation refuses the node", took, bound)
	mustReach(t, "all others", append(inside, ignorant...), append(inside, ignorant...), time.Now(), bound)
	stays(t, append(inside, ignorant...), bad)
}

// revoke revokes a node's certificates and hands the list to a node. It returns
// when the node was given it.
func (c *cluster) revoke(t *testing.T, bad, to *node) time.Time {
	t.Helper()
	list := filepath.Join(c.dir, "revoked")
	must(t, bin("cbctl"), "ca", "revoke", "--dir", c.ca, "--node", bad.name, "--out", list)
	began := time.Now()
	if r := to.cbctl(t, "revoke", "--file", list); r.code != 0 {
		t.Fatalf("node revoke: code %d: %s", r.code, r.stderr)
	}
	return began
}

// unknown says who of the nodes has another one still in its device.
func unknown(ctx context.Context, nodes []*node, bad *node) error {
	var knowing []string
	for _, n := range nodes {
		p, err := n.peer(ctx, bad.name)
		if err != nil {
			return err
		}
		if p != nil {
			knowing = append(knowing, n.name)
		}
	}
	if len(knowing) > 0 {
		return fmt.Errorf("%d know it: %s", len(knowing), strings.Join(knowing, ", "))
	}
	return nil
}

// refusedWithin waits until none of the nodes has another one in its device: none
// knows it, and of the pings between them sent then none is answered. It returns
// how long that took.
func refusedWithin(t *testing.T, nodes []*node, bad *node, since time.Time, bound time.Duration) time.Duration {
	t.Helper()
	eventually(t, time.Until(since.Add(bound)), "everyone refuses "+bad.name, func(ctx context.Context) error { return unknown(ctx, nodes, bad) })
	for {
		took := time.Since(since)
		n := answers(t, nodes, bad)
		if n == 0 {
			return took
		}
		if took > bound {
			t.Fatalf("%d pings to or from %s are answered after %s", n, bad.name, took)
		}
	}
}

// answers pings a node for a second from all others, and them from it, and
// returns how many pings were answered.
func answers(t *testing.T, nodes []*node, bad *node) (n int) {
	t.Helper()
	for _, way := range [][2][]*node{{nodes, {bad}}, {{bad}, nodes}} {
		now := time.Now()
		took, err := reach(t.Context(), way[0], way[1], now, now.Add(time.Second))
		if err == nil && len(took) == 0 {
			t.Errorf("nobody was pinged: %d to %d nodes", len(way[0]), len(way[1]))
		}
		n += len(took)
	}
	return n
}

// stays watches for some seconds that nobody takes a node back.
func stays(t *testing.T, nodes []*node, bad *node) {
	t.Helper()
	for until := time.Now().Add(4 * time.Second); time.Now().Before(until); {
		if err := unknown(t.Context(), nodes, bad); err != nil {
			t.Error(err)
			return
		}
		if n := answers(t, nodes, bad); n > 0 {
			t.Errorf("%d pings to or from %s are answered", n, bad.name)
		}
	}
}

// ignorant makes a node forget that it is revoked, but not whom it knew.
func (n *node) ignorant(t *testing.T) {
	t.Helper()
	if !n.daemon.ended() {
		n.kill(t)
	}
	if err := os.Remove(filepath.Join(n.path("state"), "revocations.list")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// restart ends the daemon with a signal and starts it again.
func (n *node) restart(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if sig == syscall.SIGKILL {
		n.kill(t)
	} else {
		n.stop(t)
	}
	n.start(t)
}
