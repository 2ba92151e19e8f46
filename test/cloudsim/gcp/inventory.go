package gcp

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists everything that clients have made, in every project. The tags
// of what bears no labels are the words KEY=VALUE of its description.
func (c *Cloud) Inventory() []sim.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	var all []sim.Object
	for _, id := range slices.Sorted(maps.Keys(c.projects)) {
		all = append(all, c.projects[id].inventory()...)
	}
	return all
}

// inventory lists one project.
func (p *project) inventory() []sim.Object {
	var out []sim.Object
	add := func(kind, region string, h *header, description string) {
		state := "READY"
		if h.busy != nil {
			state = "PENDING"
		}
		out = append(out, sim.Object{Cloud: Name, Region: region, Kind: kind, ID: h.name, Name: h.name, Tags: words(description), State: state})
	}
	for _, i := range p.instances.All() {
		o := sim.Object{Cloud: Name, Region: i.region, Kind: "vm", ID: i.key(), Name: i.name, Tags: words(i.description), State: string(i.status)}
		maps.Copy(o.Tags, i.labels)
		if i.status == running {
			o.NetNS = p.opts.Fabric.NetNS(i.key())
		}
		out = append(out, o)
	}
	for _, n := range p.networks.All() {
		add("network", "global", &n.header, n.description)
	}
	for _, s := range p.subnetworks.All() {
		add("subnet", s.region, &s.header, s.description)
	}
	for _, f := range p.firewalls.All() {
		add("securityGroup", "global", &f.header, f.Description)
	}
	for _, r := range p.routers.All() {
		add("router", r.region, &r.header, r.Description)
	}
	return out
}

// words reads the pairs KEY=VALUE of a text.
func words(s string) map[string]string {
	tags := map[string]string{}
	for w := range strings.FieldsSeq(s) {
		if k, v, ok := strings.Cut(w, "="); ok && k != "" {
			tags[k] = v
		}
	}
	return tags
}
