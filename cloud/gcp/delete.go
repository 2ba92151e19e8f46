package gcp

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cloud.google.com/go/compute/apiv1/computepb"

	"github.com/cbnet-io/cbnet/cloud"
)

// Delete implements cloud.Driver.
func (d *Driver) Delete(ctx context.Context, res cloud.Resource) error {
	x := deletion{session: d.session(ctx), res: res}
	steps := map[cloud.Kind]func() error{
		cloud.KindVM:            x.vm,
		cloud.KindRouter:        x.router,
		cloud.KindSecurityGroup: x.firewall,
		cloud.KindSubnet:        x.subnetwork,
		cloud.KindNetwork:       x.network,
	}
	step, ok := steps[res.Kind]
	if !ok || res.ID == "" {
		return fmt.Errorf("gcp delete %s %q: %w: this driver makes no such thing", res.Kind, res.ID, cloud.ErrInvalid)
	}
	err := step()
	if err == nil || errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("gcp delete %s %s in %s: %w", res.Kind, res.ID, res.Region, x.explain(res.Region, err))
}

// deletion is one Delete under way. Its steps return nil or a not-found error
// when there is nothing (left) to delete.
type deletion struct {
	*session
	res cloud.Resource
}

func (x deletion) check(description string) error {
	return cloud.CheckOwner(x.res, cloud.ParseDescription(description))
}

// begun returns nil if a deletion was accepted, now or before: an object cannot
// be deleted while that is under way.
func (x deletion) begun(call string, id uint64, err error) error {
	if err = wrap(call, err); !busy(err) {
		return err
	}
	ops, failed := x.operations(underWay)
	switch {
	case failed != nil:
		return failed
	case slices.ContainsFunc(ops, func(op *computepb.Operation) bool { return deletes(op, id) }):
		return nil
	}
	return err
}

func (x deletion) vm() error {
	zone, instance, err := parseVMID(x.res.ID)
	if err != nil {
		return err
	}
	c, err := x.instances()
	if err != nil {
		return err
	}
	have, err := c.Get(x.ctx, &computepb.GetInstanceRequest{Project: x.project, Zone: zone, Instance: instance})
	if err = wrap("instances.get", err); errors.Is(err, cloud.ErrNotFound) {
		return x.forget(zone)
	}
	if err != nil {
		return err
	}
	if err := x.check(have.GetDescription()); err != nil {
		return err
	}
	_, err = c.Delete(x.ctx, &computepb.DeleteInstanceRequest{Project: x.project, Zone: zone, Instance: instance})
	return x.begun("instances.delete", have.GetId(), err)
}

// forget deletes the operations by which a machine is known that vanished.
func (x deletion) forget(zone string) error {
	ops, err := x.zoneOperationsOf(zone)
	if err != nil {
		return err
	}
	c, err := x.zoneOperations()
	if err != nil {
		return err
	}
	for _, op := range ops {
		if !vanished(op) || vmID(zone, op.GetTargetId()) != x.res.ID {
			continue
		}
		if !made(op.GetClientOperationId(), x.res.Owner) {
			return cloud.CheckOwner(x.res, nil)
		}
		_, err := c.Delete(x.ctx, &computepb.DeleteZoneOperationRequest{Project: x.project, Zone: zone, Operation: op.GetName()})
		if err = wrap("zoneOperations.delete", err); err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	return nil
}

// unused refuses to take away what machines of the network depend on. The cloud
// would not: it would close their ports, or their way out.
func (x deletion) unused(network string) error {
	machines, err := x.machines(x.res.Region, x.res.Owner)
	if err != nil {
		return err
	}
	for _, i := range machines {
		if slices.ContainsFunc(i.GetNetworkInterfaces(), func(n *computepb.NetworkInterface) bool { return last(n.GetNetwork()) == last(network) }) {
			return fmt.Errorf("%w: machine %s is in its network", cloud.ErrInUse, i.GetName())
		}
	}
	return nil
}

func (x deletion) router() error {
	c, err := x.routers()
	if err != nil {
		return err
	}
	have, err := c.Get(x.ctx, &computepb.GetRouterRequest{Project: x.project, Region: x.res.Region, Router: x.res.ID})
	if err != nil {
		return wrap("routers.get", err)
	}
	if err := x.check(have.GetDescription()); err != nil {
		return err
	}
	if err := x.unused(have.GetNetwork()); err != nil {
		return err
	}
	_, err = c.Delete(x.ctx, &computepb.DeleteRouterRequest{Project: x.project, Region: x.res.Region, Router: x.res.ID})
	return x.begun("routers.delete", have.GetId(), err)
}

func (x deletion) firewall() error {
	c, err := x.firewalls()
	if err != nil {
		return err
	}
	have, err := c.Get(x.ctx, &computepb.GetFirewallRequest{Project: x.project, Firewall: x.res.ID})
	if err != nil {
		return wrap("firewalls.get", err)
	}
	if err := x.check(have.GetDescription()); err != nil {
		return err
	}
	if err := x.unused(have.GetNetwork()); err != nil {
		return err
	}
	_, err = c.Delete(x.ctx, &computepb.DeleteFirewallRequest{Project: x.project, Firewall: x.res.ID})
	return x.begun("firewalls.delete", have.GetId(), err)
}

func (x deletion) subnetwork() error {
	c, err := x.subnetworks()
	if err != nil {
		return err
	}
	have, err := c.Get(x.ctx, &computepb.GetSubnetworkRequest{Project: x.project, Region: x.res.Region, Subnetwork: x.res.ID})
	if err != nil {
		return wrap("subnetworks.get", err)
	}
	if err := x.check(have.GetDescription()); err != nil {
		return err
	}
	_, err = c.Delete(x.ctx, &computepb.DeleteSubnetworkRequest{Project: x.project, Region: x.res.Region, Subnetwork: x.res.ID})
	return x.begun("subnetworks.delete", have.GetId(), err)
}

func (x deletion) network() error {
	c, err := x.networks()
	if err != nil {
		return err
	}
	have, err := c.Get(x.ctx, &computepb.GetNetworkRequest{Project: x.project, Network: x.res.ID})
	if err != nil {
		return wrap("networks.get", err)
	}
	if err := x.check(have.GetDescription()); err != nil {
		return err
	}
	_, err = c.Delete(x.ctx, &computepb.DeleteNetworkRequest{Project: x.project, Network: x.res.ID})
	return x.begun("networks.delete", have.GetId(), err)
}
