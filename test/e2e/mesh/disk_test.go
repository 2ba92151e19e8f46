package mesh_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFullDisk: a node whose disk is full keeps forwarding, says so, and loses
// neither its key nor its place; with room again it goes on saving.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := threeSites(t, 5)
	n, late := w.nodes[3], w.nodes[4]
	at := func(script string) {
		t.Helper()
		if r := runAt(t, n.host, "sh", "-ec", script, n.path("state")); r.code != 0 {
			t.Fatalf("%s: code %d: %s", script, r.code, r.stderr)
		}
	}
	// The mount is the host's alone: whatever is in it is looked at there.
	at(`mkdir -m 700 $0 && mount -t tmpfs -o size=128k,mode=700 tmpfs $0`)
	early := w.nodes[:4]
	for _, o := range early {
		o.start(t)
	}
	mustReach(t, "all pairs", early, early, n.began, 20*time.Second)
	converged(t, early)
	key := n.savedKey(t)
	streams := []stream{startStream(t, n, early[0]), startStream(t, early[2], n)}

	at(`cat /dev/zero >$0/fill 2>/dev/null || true; ! echo more 2>/dev/null >$0/more`)
	late.start(t) // it is to be remembered
	mustReach(t, "a newcomer and the node with the full disk", []*node{late}, []*node{n}, late.began, 10*time.Second)
	eventually(t, 5*time.Second, "the node says that its disk is full", func(context.Context) error {
		if said := lines(n.said(t), "ERROR"); !strings.Contains(strings.Join(said, "\n"), "no space left on device") {
			return fmt.Errorf("errors in its log: %q", said)
		}
		return nil
	})
	wait(t, time.Now().Add(2*time.Second))
	mustFlow(t, "through a node with a full disk", streams)

	n.kill(t)
	n.start(t)
	took := mustReach(t, "kill -9 and start with a full disk", early[:3], []*node{n}, n.began, 2*time.Second)
	reachFigure(t, "kill -9 and start with a full disk: from those it remembers", took, 2*time.Second)
	if got := n.savedKey(t); got != key {
		t.Errorf("key after a restart with a full disk: %s, want %s", got, key)
	}
	at(`rm -f $0/fill $0/more`)
	eventually(t, 25*time.Second, "the node saves again", func(ctx context.Context) error {
		if r := runAt(t, n.host, "grep", "-c", "", filepath.Join(n.path("state"), "peers.json")); r.code != 0 {
			return fmt.Errorf("peers.json: %s", r.stderr)
		}
		if now := n.savedPeers(t); now < len(w.nodes)-1 {
			return fmt.Errorf("%d peers are saved", now)
		}
		return nil
	})
	n.stop(t)
	n.start(t)
	others := append(append([]*node{}, early[:3]...), late)
	took = mustReach(t, "restart with room again", others, []*node{n}, n.began, 2*time.Second)
	reachFigure(t, "restart with room on the disk again: from all others", took, 2*time.Second)
	if got := n.savedKey(t); got != key {
		t.Errorf("key after all: %s, want %s", got, key)
	}
}

// savedKey is the checksum of the file with the node's WireGuard key.
func (n *node) savedKey(t *testing.T) string {
	t.Helper()
	r := runAt(t, n.host, "sh", "-c", `sha256sum <"$0"`, filepath.Join(n.path("state"), "wireguard.key"))
	if r.code != 0 {
		t.Fatalf("key of %s: %s", n.name, r.stderr)
	}
	return r.stdout
}

// savedPeers is how many peers the node has on its disk.
func (n *node) savedPeers(t *testing.T) int {
	t.Helper()
	r := runAt(t, n.host, "grep", "-o", `"envelope"`, filepath.Join(n.path("state"), "peers.json"))
	return strings.Count(r.stdout, "\n")
}
