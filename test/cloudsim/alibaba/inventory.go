package alibaba

import (
	"context"
	"maps"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists everything that clients have made, in every region.
func (c *Cloud) Inventory() []sim.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	var all []sim.Object
	for _, name := range sortedKeys(c.regions) {
		cl := &call{Cloud: c, ctx: context.Background(), r: c.regions[name]}
		all = append(all, cl.inventory()...)
	}
	return all
}

// inventory lists one region.
func (c *call) inventory() []sim.Object {
	var out []sim.Object
	add := func(kind, id, name, state string, tags map[string]string) {
		tags = maps.Clone(tags)
		if tags == nil {
			tags = map[string]string{}
		}
		out = append(out, sim.Object{Cloud: Name, Region: c.r.region, Kind: kind, ID: id, Name: name, Tags: tags, State: state})
	}
	for _, i := range c.r.instances.All() {
		add("vm", i.id, i.name, string(i.state), i.tags)
		if i.state == stateRunning {
			out[len(out)-1].NetNS = c.opts.Fabric.NetNS(i.id)
		}
	}
	for _, v := range c.r.vpcs.All() {
		add("network", v.id, v.name, c.vpcState(v), v.tags)
	}
	for _, s := range c.r.vswitches.All() {
		add("subnet", s.id, s.name, c.switchState(s), s.tags)
	}
	for _, g := range c.r.groups.All() {
		add("securityGroup", g.id, g.name, available, g.tags)
	}
	for _, k := range c.r.keys.All() {
		add("key", k.name, k.name, available, k.tags)
	}
	return out
}
