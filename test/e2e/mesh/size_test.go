package mesh_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// TestTwelve is TestTwenty in small: twelve daemons and five seconds.
func TestTwelve(t *testing.T) { testSize(t, 12, 5*time.Second) }

// TestTwenty: twenty daemons in three sites, one of which is behind a NAT, are
// one network five seconds after the last one was started. On two cores that
// takes all of both.
func TestTwenty(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	testSize(t, 20, 5*time.Second)
}

// TestFifty is the same with fifty daemons and ten seconds.
func TestFifty(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	testSize(t, 50, 10*time.Second)
}

func testSize(t *testing.T, n int, limit time.Duration) {
	c := threeSites(t, n).cluster
	last := c.startAll(t)
	spent := last.Sub(c.nodes[0].began)
	defer func() {
		if t.Failed() {
			t.Logf("processor time of all %d daemons together: %s", n, c.cpu(t))
		}
	}()
	took := mustReach(t, "all pairs", c.nodes, c.nodes, last, limit)
	reachFigure(t, fmt.Sprintf("%d daemons, 3 sites, 1 behind easy NAT, started within %s: after the last start",
		n, spent.Round(time.Millisecond)), took, limit)
	t.Logf("FIGURE e2e/mesh: %d daemons: processor time of all together until then: %s", n, c.cpu(t))
	converged(t, c.nodes)
	steady(t, c)
}

// steady watches converged nodes, which have nothing to say but at level debug.
func steady(t *testing.T, c *cluster) {
	t.Helper()
	settle, watch := 3*time.Second, 5*time.Second
	if !testing.Short() {
		watch = 30 * time.Second
	}
	wait(t, time.Now().Add(settle))
	before := map[*node]int{}
	for _, n := range c.nodes {
		before[n] = len(n.said(t))
	}
	used := c.cpu(t)
	wait(t, time.Now().Add(watch))
	for _, n := range c.nodes {
		if said := lines(n.said(t)[before[n]:], "INFO", "WARN", "ERROR"); len(said) > 0 {
			t.Errorf("%s is steady and says:\n%s", n.name, strings.Join(said, "\n"))
		}
	}
	t.Logf("FIGURE e2e/mesh: %d steady daemons say nothing for %s; each uses %.2f %% of a processor",
		len(c.nodes), watch, float64(c.cpu(t)-used)/float64(watch)/float64(len(c.nodes))*100)
}

// world is a cluster on three sites.
type world struct {
	*cluster
	lab *netlab.Lab
	// public has hosts with addresses of their own, cloud such behind 1:1 NAT,
	// home many behind one address.
	public, cloud, home *netlab.Site
}

// threeSites makes a world of n nodes that are not started: about a third each
// is in one of the sites. The first node is an introducer at the public site, the
// second one in the cloud.
//
//	public ---- internet ---- cloud (1:1 NAT)
//	               |
//	              home (easy NAT)
func threeSites(t *testing.T, n int) *world {
	t.Helper()
	l := netlab.New(t, netlab.Options{})
	w := &world{
		lab:    l,
		public: l.Site("public", netlab.SiteOptions{}),
		cloud:  l.Site("cloud", netlab.SiteOptions{NAT: netlab.NATOneToOne}),
		home:   l.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy}),
	}
	w.cluster = newCluster(t, w.public.Host("n1"), w.cloud.Host("n2"))
	w.nodes[1].flags = append(w.nodes[1].flags, cloudFlags...)
	for i := len(w.nodes); i < n; i++ {
		name := fmt.Sprintf("n%d", i+1)
		switch i % 3 {
		case 0:
			w.add(t, w.public.Host(name))
		case 1:
			node := w.add(t, w.cloud.Host(name))
			node.flags = append(node.flags, cloudFlags...)
		case 2:
			w.add(t, w.home.Host(name))
		}
	}
	return w
}

// introducers is how many there are, the first nodes of a world.
const introducers = 2

// cloudFlags are what a daemon in a cloud is told.
var cloudFlags = []string{"--network", "sim/region/net", "--advertise", "observed"}
