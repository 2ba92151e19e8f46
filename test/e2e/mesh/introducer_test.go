package mesh_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestIntroducersGone: when all introducers die for good, nothing is lost, and
// nodes that get other addresses are found again by those who know them.
func TestIntroducersGone(t *testing.T) {
	t.Parallel()
	const bound = 15 * time.Second // the issue has none: that of a partition
	watch := 30 * time.Second
	if testing.Short() {
		watch = 5 * time.Second
	}
	w := threeSites(t, 9)
	last := w.startAll(t)
	mustReach(t, "all pairs", w.nodes, w.nodes, last, 20*time.Second)
	converged(t, w.nodes)
	remembers(t, w.nodes)
	members := w.nodes[introducers:]

	streams := startStreams(t, members)
	for _, n := range w.nodes[:introducers] {
		n.kill(t)
	}
	wait(t, time.Now().Add(watch))
	mustFlow(t, fmt.Sprintf("%s without an introducer", watch), streams)

	public, home := members[1], members[0]
	if public.host.Site() != w.public || home.host.Site() != w.home {
		t.Fatalf("%s is at %s, %s at %s", public.name, public.host.Site().Name, home.name, home.host.Site().Name)
	}
	found := func(what string, n *node, since time.Time) {
		t.Helper()
		others := slices.DeleteFunc(slices.Clone(members), func(o *node) bool { return o == n })
		took := mustReach(t, what, others, []*node{n}, since, bound)
		reachFigure(t, what+", no introducer: from all others", took, bound)
	}
	old := public.host.Addr()
	if err := public.host.Readdress(); err != nil {
		t.Fatal(err)
	}
	found(fmt.Sprintf("a public host moves from %s to %s", old, public.host.Addr()), public, time.Now())

	old = w.home.Public()
	if err := w.home.Renumber(); err != nil {
		t.Fatal(err)
	}
	found(fmt.Sprintf("a NAT moves from %s to %s", old, w.home.Public()), home, time.Now())

	if err := public.daemon.end(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := public.host.Move(w.home); err != nil {
		t.Fatal(err)
	}
	public.start(t)
	found("a public host that was off comes back behind a NAT", public, public.began)
}
