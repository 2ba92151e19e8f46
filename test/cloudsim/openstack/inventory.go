package openstack

import (
	"context"
	"maps"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists everything that clients have made: not the external network
// and the default security group, nor ports that Nova made for a server or
// Neutron for a router. Neutron's objects have their tags (K=V or K) and, as the
// tag "description", their description, where drivers put what must be there
// from the first moment.
func (c *Cloud) Inventory() []sim.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	out := []sim.Object{}
	for _, s := range c.servers.All() {
		o := sim.Object{
			Cloud: Name, Region: Region, Kind: "vm", ID: s.id, Name: s.name, Tags: maps.Clone(s.metadata),
			State: strings.ToLower(string(s.status)), NetNS: c.opts.Fabric.NetNS(s.id),
		}
		if s.task == "deleting" {
			o.State = s.task
		}
		out = append(out, o)
	}
	out = objects(out, "network", &c.networks)
	out = objects(out, "subnet", &c.subnets)
	out = objects(out, "router", &c.routers)
	out = objects(out, "port", &c.ports)
	out = objects(out, "securityGroup", &c.groups)
	out = objects(out, "publicIp", &c.floating)
	for _, k := range c.keys.All() {
		out = append(out, sim.Object{Cloud: Name, Region: Region, Kind: "key", ID: k.name, Name: k.name, Tags: map[string]string{}, State: "available"})
	}
	return out
}

// objects adds the rows of a table that clients made.
func objects[T resource](out []sim.Object, kind string, t *sim.Table[T]) []sim.Object {
	for _, row := range t.All() {
		b := row.common()
		if b.implicit {
			continue
		}
		tags := map[string]string{}
		for _, tag := range b.tags {
			k, v, _ := strings.Cut(tag, "=")
			tags[k] = v
		}
		if b.description != "" {
			tags["description"] = b.description
		}
		out = append(out, sim.Object{Cloud: Name, Region: Region, Kind: kind, ID: b.id, Name: b.name, Tags: tags, State: "active"})
	}
	return out
}
