package azure

import (
	"context"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists everything that clients have made. A machine's interface and
// disk are parts of it, also while they follow it.
func (c *Cloud) Inventory() []sim.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	var out []sim.Object
	add := func(kind string, r *resource, state string) {
		out = append(out, sim.Object{Cloud: Name, Region: r.location, Kind: kind, ID: r.id(), Name: r.name, Tags: tagText(r.tags), State: state})
	}
	cl := &call{Cloud: c, ctx: context.Background()}
	for _, m := range c.machines.All() {
		state := m.state
		if p := m.power(cl); p != "" && (m.state == stateSucceeded || m.state == stateUpdating) {
			state = p
		}
		add("vm", &m.resource, state)
		out[len(out)-1].NetNS = c.opts.Fabric.NetNS(m.guid)
	}
	for _, v := range c.nics.Where(func(v *nic) bool { return v.machine == "" }) {
		add("port", &v.resource, v.state)
	}
	for _, a := range c.addresses.All() {
		add("publicIp", &a.resource, a.state)
	}
	for _, s := range c.securities.All() {
		add("securityGroup", &s.resource, s.state)
	}
	for _, n := range c.networks.All() {
		add("network", &n.resource, n.state)
		for _, s := range n.subnets {
			out = append(out, sim.Object{Cloud: Name, Region: n.location, Kind: "subnet", ID: n.subnetID(s), Name: s.name, Tags: tagText(n.tags), State: n.state})
		}
	}
	for _, d := range c.disks.Where(func(d *disk) bool { return !c.machines.Any(func(m *machine) bool { return m.disk == d.key() }) }) {
		add("disk", &d.resource, d.state)
	}
	for _, g := range c.groups.All() {
		state := stateSucceeded
		if g.deleting {
			state = stateDeleting
		}
		out = append(out, sim.Object{Cloud: Name, Region: g.location, Kind: "group", ID: g.groupPath(), Name: g.group, Tags: tagText(g.tags), State: state})
	}
	return out
}
