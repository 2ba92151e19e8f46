package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// TestRotate changes the authority of a mesh that runs, as an operator does:
// three times a step at the authority and then a new bundle on each node. Streams
// over IPv4 and IPv6 lose nothing, a revoked node stays out, one that restarts
// with its first bundle takes part as before, and so do new ones.
func TestRotate(t *testing.T) {
	t.Parallel()
	l := netlab.New(t, netlab.Options{})
	site, home := l.Site("public", netlab.SiteOptions{}), l.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy})
	c := newCluster(t, site.Host("n1"))
	c.add(t, site.Host("n2"))
	c.add(t, home.Host("n3"))
	bad := c.add(t, site.Host("n4"))
	c.startAll(t)
	converged(t, c.nodes)
	nodes := c.nodes[:3]
	first, err := os.ReadFile(nodes[1].path("bundle"))
	if err != nil {
		t.Fatal(err)
	}
	must(t, bin("cbctl"), "ca", "revoke", "--dir", c.ca, "--node", bad.name, "--out", bad.path("list"))
	must(t, bin("cbctl"), "node", "revoke", "--socket", nodes[0].path("sock"), "--file", bad.path("list"))

	streams := map[string]*netlab.Stream{}
	for _, a := range nodes {
		for _, b := range nodes {
			for _, to := range addresses([]*node{b}, a) {
				s, err := a.host.Stream(t.Context(), netlab.StreamOptions{To: to, PPS: 50})
				if err != nil {
					t.Fatal(err)
				}
				streams[a.name+" to "+b.name+" "+to.String()] = s
			}
		}
	}
	before := map[string]int{} // bytes of each log
	for _, n := range nodes {
		before[n.name] = len(n.said(t))
	}
	began := time.Now()
	for _, step := range []string{"step 1 of 3", "step 2 of 3", "step 3 of 3"} {
		if out := must(t, bin("cbctl"), "ca", "rotate", "--dir", c.ca); !strings.Contains(out, step) {
			t.Fatalf("rotate said %q, want %s", out, step)
		}
		for _, n := range nodes {
			n.renew(t)
			converged(t, nodes)
		}
	}
	took := time.Since(began)
	for name, s := range streams {
		if got := s.Stop(); got.Lost > 0 || got.Sent == 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
	t.Logf("FIGURE e2e/mesh: change of the authority on %d nodes: %s, %d streams of 50/s lost nothing", len(nodes), took.Round(time.Millisecond), len(streams))

	// A restart with the first bundle goes on with the one in the state.
	if err := os.WriteFile(nodes[1].path("bundle"), first, 0o600); err != nil {
		t.Fatal(err)
	}
	nodes[1].stop(t)
	nodes[1].start(t)
	late := c.add(t, site.Host("n5"))
	late.start(t)
	converged(t, append(nodes[:3:3], late))

	for _, n := range nodes {
		odd := slices.DeleteFunc(lines(n.said(t)[before[n.name]:], "WARN", "ERROR"), func(line string) bool {
			return strings.Contains(line, "remote="+bad.host.Addr().String()) // the revoked node, which knocks in vain
		})
		if len(odd) > 0 {
			t.Errorf("%s warned:\n%s", n.name, strings.Join(odd, "\n"))
		}
	}

	// The revoked node starts again with all it has, and gets nowhere.
	bad.kill(t)
	known := len(bad.said(t))
	bad.start(t)
	eventually(t, 15*time.Second, "it is refused by name or as a stranger", func(context.Context) error {
		if !strings.Contains(bad.said(t)[known:], "no introducer let this node in") {
			return errors.New("it has not tried")
		}
		return nil
	})
	for _, n := range append(nodes[:3:3], late) {
		if p, err := n.peer(t.Context(), bad.name); p != nil || err != nil {
			t.Errorf("%s: the revoked node is %+v, %v", n.name, p, err)
		}
	}
}

// TestRenewWithANewKey: a bundle with another key takes the node's place over
// while it runs. IPv4 streams lose nothing; the IPv6 address, which belongs to the
// key, is another one, and so it is said.
func TestRenewWithANewKey(t *testing.T) {
	t.Parallel()
	l := netlab.New(t, netlab.Options{})
	site, home := l.Site("public", netlab.SiteOptions{}), l.Site("home", netlab.SiteOptions{NAT: netlab.NATEasy})
	c := newCluster(t, site.Host("n1"))
	n := c.add(t, home.Host("n2"))
	c.add(t, site.Host("n3"))
	c.startAll(t)
	converged(t, c.nodes)
	var streams []*netlab.Stream
	for _, o := range []*node{c.nodes[0], c.nodes[2]} {
		s, err := o.host.Stream(t.Context(), netlab.StreamOptions{To: n.ip, PPS: 50})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	ip, old := n.ip, n.ip6
	n.issue(t, "--group", "web")
	r := n.cbctl(t, "renew", "--bundle", n.path("bundle"))
	if r.code != 0 || !strings.Contains(r.stdout, "a new IPv6 address: "+n.ip6.String()+", before "+old.String()) || !strings.Contains(r.stdout, "groups: [web]") {
		t.Errorf("renew: code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if n.ip != ip {
		t.Fatalf("address %s, before %s", n.ip, ip)
	}
	mustReach(t, "after the renewal", c.nodes, c.nodes, time.Now(), 5*time.Second)
	for _, s := range streams {
		if got := s.Stop(); got.Lost > 0 {
			t.Errorf("while the key changed: %s", got)
		}
	}
}

// renew issues a new bundle of the node's key and hands it to its daemon.
func (n *node) renew(t *testing.T) {
	t.Helper()
	must(t, bin("cbctl"), "ca", "issue", "--dir", n.c.ca, "--renew", n.path("bundle"), "--out", n.path("bundle"))
	r := n.cbctl(t, "renew", "--bundle", n.path("bundle"), "-o", "json")
	var got control.Renewal
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || !got.Changed || len(got.Notes) > 0 {
		t.Fatalf("%s: renew: code %d, %+v: %s%s", n.name, r.code, got, r.stdout, r.stderr)
	}
	if ip, ip6 := n.granted(t); ip != n.ip || ip6 != n.ip6 {
		t.Errorf("%s: %s, %s; before the renewal %s, %s", n.name, ip, ip6, n.ip, n.ip6)
	}
}

// said is the log of the node's daemons.
func (n *node) said(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(n.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
