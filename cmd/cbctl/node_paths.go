package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/node/control"
)

func newNodePath(f *nodeFlags) *cobra.Command {
	return nodeVerb[control.Path]{
		use:   "path NAME",
		short: "show by which address a peer is reached, and what became of the others",
		args:  args(1, "the name of one node"),
		ask: func(ctx context.Context, c *control.Client, args []string) (control.Path, error) {
			p, err := c.Path(ctx, args[0])
			return p, about("path", err)
		},
		print: func(t *table, p control.Path) { nodePathTable(t, p, time.Now()) },
	}.command(f)
}

func newNodeWhy(f *nodeFlags) *cobra.Command {
	return nodeVerb[control.Why]{
		use:   "why NAME",
		short: "say in plain words why a node is reached, or is not, and what to do",
		args:  args(1, "the name of one node"),
		ask: func(ctx context.Context, c *control.Client, args []string) (control.Why, error) {
			w, err := c.Why(ctx, args[0])
			return w, about("why "+args[0], err)
		},
		print: nodeWhyText,
	}.command(f)
}

func newNodeRoutes(f *nodeFlags) *cobra.Command {
	return nodeVerb[control.Routes]{
		use:   "routes",
		short: "list the prefixes in the tunnel and whose they are",
		args:  args(0, "no arguments"),
		ask: func(ctx context.Context, c *control.Client, _ []string) (control.Routes, error) {
			return c.Routes(ctx)
		},
		print: nodeRoutesTable,
	}.command(f)
}

func nodePathTable(t *table, p control.Path, now time.Time) {
	t.row("node", p.Name)
	t.row("state", string(p.State))
	t.row("path", strings.TrimSpace(p.Path+" "+p.Endpoint))
	t.row("class", p.Class)
	t.row("round trip", nodeRTT(p.RTTMs))
	t.row("steered by", p.Steers)
	if len(p.Candidates) == 0 {
		t.note("no other address of it is known")
		return
	}
	t.head("ENDPOINT", "KIND", "CLASS", "VERDICT", "RTT", "TRIED", "TRIES", "ANSWERED")
	for _, c := range p.Candidates {
		tries := ""
		if c.Tries > 0 {
			tries = fmt.Sprint(c.Tries)
		}
		t.row(c.Endpoint, c.Kind, c.Class, c.Verdict, nodeRTT(c.RTTMs), nodeAgo(c.LastTried, now), tries, nodeAgo(c.LastAnswered, now))
	}
}

func nodeWhyText(t *table, w control.Why) {
	t.note(w.Summary)
	for _, f := range w.Findings {
		t.note("  " + f)
	}
	for _, a := range w.Advice {
		t.note("* " + a)
	}
}

func nodeRoutesTable(t *table, r control.Routes) {
	t.head("PREFIX", "NODE", "STATE")
	for _, a := range r.Addresses {
		t.row(a, "this one", "")
	}
	for _, x := range r.Routes {
		t.row(x.Prefix, x.Peer, string(x.State))
	}
	t.note(fmt.Sprintf("%s takes %s", r.Interface, strings.Join(r.Networks, " and ")))
}

// nodeRTT prints a round trip, nothing for one never measured.
func nodeRTT(ms *float64) string {
	if ms == nil {
		return ""
	}
	return fmt.Sprintf("%.1fms", *ms)
}

// nodeAgo prints how long ago something was, nothing for never.
func nodeAgo(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return max(0, now.Sub(*t)).Round(time.Second).String() + " ago"
}
