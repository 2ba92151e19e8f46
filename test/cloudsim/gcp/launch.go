package gcp

import (
	"cmp"
	"context"
	_ "embed"
	"net"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

func insertInstance(c *call) (any, error) {
	var in instanceIn
	i := &instance{zone: c.path("zone"), region: regionOf(c.path("zone")), status: provisioning}
	out, err := c.insert(insertion{
		body: &in,
		check: func() (*header, error) {
			i.header = header{name: in.Name, path: c.scope() + "/instances/" + in.Name}
			for _, step := range []func(*instance, *instanceIn) error{c.orderMachine, c.orderDisk, c.orderInterface, c.orderMetadata, c.orderLabels} {
				if err := step(i, &in); err != nil {
					return nil, err
				}
			}
			return &i.header, checkDescription(in.Description)
		},
		taken: func() bool { return has(&c.p.instances, i.path) },
		admit: func() error { return c.admitMachine(i) },
		put:   func() error { return c.launch(i) },
	})
	if err != nil || i.busy == nil {
		return out, err
	}
	i.busy.poll = func(context.Context) (bool, *apiError) { return c.p.launched(i) }
	return out, nil
}

// launch puts an instance into its table and starts its machine.
func (c *call) launch(i *instance) error {
	switch {
	case i.doom != nil:
	case c.opts.Faults.NoCapacity(Name, i.region, i.zone):
		i.doom = fault(503, "ZONE_RESOURCE_POOL_EXHAUSTED", "The zone '%s' does not have enough resources available to fulfill the request.  Try a different zone, or try again later.", c.p.resource("zones/"+i.zone))
	case c.opts.Faults.AsyncFail():
		i.doom = fault(503, "INTERNAL_ERROR", "Internal error. Please try again or contact Google Support. (Code: '%x')", i.id)
	}
	c.p.instances.Put(i.path, i)
	if i.doom != nil {
		return nil
	}
	if err := c.wire(i.subnet); err != nil {
		return err
	}
	return c.boot(i)
}

// boot starts the machine of an instance, with a fresh public address if it is
// to have one.
func (c *call) boot(i *instance) error {
	i.started = c.now()
	if err := c.p.enforce(c.ctx); err != nil {
		return err
	}
	if err := c.p.givePublic(c.ctx, i); err != nil {
		return err
	}
	return c.opts.Fabric.StartVM(c.ctx, fabric.VM{
		ID: i.key(), Cloud: Name, Hostname: i.name, NetworkID: i.subnet.fabricID(), PrivateIP: i.ip, Subnet: i.subnet.cidr, MAC: i.mac(),
		Datasource: "GCE", Agent: c.agent(i), Product: "Google Compute Engine", Metadata: c.p.metadataService(i),
	})
}

//go:embed agent.sh
var guestAgent string

// agent is what an instance's image has in place of cloud-init: Debian's have
// Google's guest agent alone.
func (c *Cloud) agent(i *instance) string {
	if i.image.project != "debian-cloud" {
		return ""
	}
	return cmp.Or(c.opts.Agent, guestAgent)
}

// mac is the address of an instance's interface: 42:01 and the IPv4 address, as
// Google makes them.
func (i *instance) mac() net.HardwareAddr {
	ip := i.ip.As4()
	return append(net.HardwareAddr{0x42, 0x01}, ip[:]...)
}

// launched says whether an insertion has ended. An instance that could not be
// started is gone without a trace, but for its operation.
func (p *project) launched(i *instance) (bool, *apiError) {
	if i.doom == nil {
		return i.status != provisioning, nil
	}
	if p.now().Sub(i.created) < doomDelay {
		return false, nil
	}
	p.instances.Delete(i.path)
	return true, i.doom
}
