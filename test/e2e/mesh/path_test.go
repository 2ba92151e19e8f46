package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// TestNATsMeet: nodes behind two easy NATs, two of them behind the same one, so
// that its router has to give one of them another port, find each other's mapped
// addresses by what peers see. A hard NAT cannot be met, and `why` says so.
func TestNATsMeet(t *testing.T) {
	t.Parallel()
	l := netlab.New(t, netlab.Options{})
	open := l.Site("open", netlab.SiteOptions{})
	home := l.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy})
	office := l.Site("office", netlab.SiteOptions{NAT: netlab.NATEasy})
	hotel := l.Site("hotel", netlab.SiteOptions{NAT: netlab.NATHard})
	c := newCluster(t, open.Host("i"))
	for _, h := range []*netlab.Host{open.Host("o"), home.Host("a"), home.Host("b"), office.Host("c"), hotel.Host("d")} {
		c.add(t, h)
	}
	easy, hard := c.nodes[:5], c.nodes[5]
	last := c.startAll(t)
	const bound = 10 * time.Second
	took := mustReach(t, "all pairs but with the hard NAT", easy, easy, last, bound)
	reachFigure(t, "5 daemons, 3 of them behind 2 easy NATs", took, bound)
	members := easy[1:]
	eventually(t, 20*time.Second, "the hard NAT is explained", func(ctx context.Context) error {
		w, err := hard.control().Why(ctx, members[3].name)
		if err != nil {
			return err
		}
		if text := w.Summary + strings.Join(w.Advice, " "); !strings.Contains(text, "both nodes are behind a NAT") || !strings.Contains(text, "another port for each") {
			return fmt.Errorf("%+v", w)
		}
		return nil
	})
	c.nodes[0].kill(t) // nobody is needed to keep it so
	mustReach(t, "without the introducer", members, members, time.Now(), 5*time.Second)
	for _, n := range members[1:3] {
		p, err := n.control().Path(t.Context(), members[3].name)
		if err != nil || p.Path != "punched" || p.Class != "observed" || len(p.Candidates) == 0 {
			t.Errorf("%s to %s: %+v, %v; want a punched path", n.name, members[3].name, p, err)
		}
	}
}

// TestFailover: the path in use breaks while another one is there, and packets
// flow on that within about a second.
func TestFailover(t *testing.T) {
	t.Parallel()
	l := netlab.New(t, netlab.Options{})
	one, two := l.Site("one", netlab.SiteOptions{IPv6: true}), l.Site("two", netlab.SiteOptions{IPv6: true})
	c := newCluster(t, one.Host("a"))
	c.add(t, two.Host("b"))
	a, b := c.nodes[0], c.nodes[1]
	last := c.startAll(t)
	mustReach(t, "both", c.nodes, c.nodes, last, 10*time.Second)
	converged(t, c.nodes)
	before := pathTo(t, a, b)
	stream, err := a.host.Stream(t.Context(), netlab.StreamOptions{To: b.ip, PPS: 50})
	if err != nil {
		t.Fatal(err)
	}
	wait(t, time.Now().Add(2*time.Second))
	// The address of b that a sends to, and that of a that b sends to.
	lost := netlab.DropAddr(b.host.Addr())
	if strings.HasPrefix(before.Endpoint, "[") {
		lost = netlab.DropAddr(b.host.Addr6())
	}
	if err := a.host.SetDrops(lost); err != nil {
		t.Fatal(err)
	}
	const bound = 3 * time.Second
	wait(t, time.Now().Add(2*bound))
	stats := stream.Stop()
	if stats.LongestGap > bound || stats.Received == 0 {
		t.Errorf("%s: want a gap of %s at most", stats, bound)
	}
	after := pathTo(t, a, b)
	if after.Endpoint == before.Endpoint || after.State != control.StateUp {
		t.Errorf("path: %+v, before %+v; want another endpoint", after, before)
	}
	figure(t, "the path in use broke, another was there: nothing answered for", stats.LongestGap, bound)
}

func pathTo(t *testing.T, from, to *node) control.Path {
	t.Helper()
	p, err := from.control().Path(t.Context(), to.name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWhy: what a person is told of a closed port, and of names that are wrong.
func TestWhy(t *testing.T) {
	t.Parallel()
	l := netlab.New(t, netlab.Options{})
	open, shut := l.Site("open", netlab.SiteOptions{}), l.Site("shut", netlab.SiteOptions{BlockUDP: true})
	c := newCluster(t, open.Host("i"))
	c.add(t, shut.Host("m"))
	c.startAll(t)
	a, b := c.nodes[0], c.nodes[1]
	eventually(t, 20*time.Second, "the introducer knows the member", func(ctx context.Context) error {
		return a.sees(ctx, b, control.StateUnreachable)
	})
	for _, tt := range []struct {
		name string
		want []string
	}{
		{b.name, []string{b.name + " is unreachable", b.host.Addr().String() + ":51820 (private) tried ", "no answer", "Open UDP 51820 towards " + b.name}},
		{a.name, []string{a.name + " is this node"}},
		{"n9", []string{`no node named "n9"`, "Did you mean n1 or n2?"}},
	} {
		r := a.cbctl(t, "why", tt.name)
		for _, want := range tt.want {
			if r.code != 0 || !strings.Contains(r.stdout, want) {
				t.Errorf("why %s: code %d, want %q in\n%s%s", tt.name, r.code, want, r.stdout, r.stderr)
			}
		}
	}
	if r := a.cbctl(t, "path", "n9"); r.code != 1 || !strings.Contains(r.stderr, `no peer named "n9"`) || r.stdout != "" {
		t.Errorf("path n9: %+v, want code 1 and the reason", r)
	}
	r := a.cbctl(t, "routes")
	for _, want := range []string{a.ip.String() + "/32", b.ip.String() + "/32", b.ip6.String() + "/128"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("routes lacks %s:\n%s", want, r.stdout)
		}
	}
}
