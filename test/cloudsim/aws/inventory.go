package aws

import (
	"context"
	"maps"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists everything that clients have made, in every region: not the
// default VPCs and what belongs to them, nor main route tables and default
// security groups. An instance's own interface is part of the instance.
func (c *Cloud) Inventory() []sim.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	var all []sim.Object
	for _, name := range sortedKeys(c.regions) {
		all = append(all, c.inventory(c.regions[name])...)
	}
	return all
}

// inventory lists one region.
func (c *Cloud) inventory(r *region) []sim.Object {
	var out []sim.Object
	add := func(kind, id, name, state string) {
		tags := maps.Clone(r.tags[id])
		if tags == nil {
			tags = map[string]string{}
		}
		if name == "" {
			name = tags["Name"]
		}
		out = append(out, sim.Object{Cloud: Name, Region: r.name, Kind: kind, ID: id, Name: name, Tags: tags, State: state})
	}
	for _, i := range r.instances.All() {
		add("vm", i.id, "", string(i.state))
		if i.state == stateRunning {
			out[len(out)-1].NetNS = c.opts.Fabric.NetNS(i.id)
		}
	}
	for _, v := range r.vpcs.Where(func(v *vpc) bool { return !v.isDefault }) {
		add("network", v.id, "", "available")
	}
	for _, s := range r.subnets.Where(func(s *subnet) bool { return !s.isDefault }) {
		add("subnet", s.id, "", "available")
	}
	for _, g := range r.gateways.Where(func(g *gateway) bool { return !g.implicit }) {
		add("router", g.id, "", "available")
	}
	for _, t := range r.tables.Where(func(t *routeTable) bool { return t.main == "" }) {
		add("routeTable", t.id, "", "active")
	}
	for _, g := range r.groups.Where(func(g *group) bool { return g.name != "default" }) {
		add("securityGroup", g.id, g.name, "available")
	}
	for _, e := range r.enis.Where(func(e *eni) bool { return e.instance == "" }) {
		add("port", e.id, "", "available")
	}
	for _, t := range r.templates.All() {
		add("launchTemplate", t.id, t.name, "available")
	}
	for _, a := range r.addresses.All() {
		add("publicIp", a.id, "", "allocated")
	}
	for _, k := range r.keys.All() {
		add("key", k.id, k.name, "available")
	}
	return out
}
