package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cbnet-io/cbnet/api"
)

func planRows(t *table, plans []api.Plan) {
	t.head("ACTION", "KIND", "NAME", "CLOUD", "REGION", "SPEC", "IMAGE", "PER HOUR", "WHY")
	for _, p := range plans {
		for _, c := range p.Changes {
			spec := c.Spec
			if c.Kind == "network" {
				spec = strings.TrimSuffix(c.CIDR+", "+c.Egress, ", ")
			}
			t.row(c.Action, c.Kind, c.Name, c.Cloud, c.Region, spec, c.Image, price(c.CostPerHour), c.Reason)
		}
		t.note(planTotal(p))
	}
}

// planTotal says in a line what a plan comes to.
func planTotal(p api.Plan) string {
	count := make(map[string]int)
	for _, c := range p.Changes {
		count[c.Action]++
	}
	var parts []string
	for _, action := range []string{"create", "change", "replace", "delete", "keep"} {
		if count[action] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", count[action], action))
		}
	}
	text := p.Name + ": " + cmp.Or(strings.Join(parts, ", "), "nothing to do")
	nodes := "nodes"
	if p.Unpriced == 1 {
		nodes = "node"
	}
	switch {
	case p.Unpriced > 0 && p.CostPerHour > 0:
		return fmt.Sprintf("%s; $%.4f an hour and %d %s of unknown price", text, p.CostPerHour, p.Unpriced, nodes)
	case p.Unpriced > 0:
		return fmt.Sprintf("%s; %d %s of unknown price", text, p.Unpriced, nodes)
	}
	return fmt.Sprintf("%s; $%.4f an hour", text, p.CostPerHour)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return "; " + reason
}

// printStatus prints one MCIS as an object and several as a list.
func printStatus(cmd *cobra.Command, list []api.MCIS, out *output) error {
	var v any = list
	if len(list) == 1 {
		v = list[0]
	}
	return out.print(cmd.OutOrStdout(), v, func(t *table) {
		for _, st := range list {
			statusRows(t, st)
		}
	})
}

func statusRows(t *table, st api.MCIS) {
	t.note(fmt.Sprintf("%s: %s, %d of %d nodes ready%s", st.Name, st.Phase, st.Ready, st.Desired, because(st.Reason)))
	t.head("NODE", "GROUP", "CLOUD", "REGION", "PHASE", "IP", "PUBLIC", "PRIVATE", "PER HOUR", "REASON")
	for _, n := range st.Nodes {
		t.row(n.Name, n.Group, n.Cloud, n.Region, n.Phase, n.IP, n.PublicIP, n.PrivateIP, price(n.CostPerHour), n.Reason)
	}
}

// consoleTail is how many lines of a failed machine's console are shown; the
// status has more.
const consoleTail = 10

// explainFailures says of every failed node why, and what its machine said last.
func explainFailures(w io.Writer, list []api.MCIS) {
	for _, st := range list {
		for _, n := range st.Nodes {
			if n.Phase != "failed" {
				continue
			}
			fmt.Fprintf(w, "cbctl: node %s failed: %s\n", oneLine(n.Name), oneLine(cmp.Or(n.Reason, "no reason is known")))
			lines := strings.Split(strings.TrimSpace(n.Console), "\n")
			if n.Console == "" {
				continue
			}
			fmt.Fprintf(w, "cbctl: the end of its console:\n")
			for _, line := range lines[max(0, len(lines)-consoleTail):] {
				fmt.Fprintf(w, "    %s\n", oneLine(line))
			}
		}
	}
}

func cloudsOf(st api.MCIS) []string {
	var out []string
	for _, n := range st.Nodes {
		out = append(out, n.Cloud)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
