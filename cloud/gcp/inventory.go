package gcp

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	compute "cloud.google.com/go/compute/apiv1"
	"cloud.google.com/go/compute/apiv1/computepb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// List implements cloud.Driver by six calls, made at the same time.
func (d *Driver) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	if owner.Mesh == "" {
		return nil, fmt.Errorf("gcp list %s: %w: the owner names no mesh", region, cloud.ErrInvalid)
	}
	g, gctx := errgroup.WithContext(ctx)
	l := lister{session: d.session(gctx), region: region, owner: owner}
	lists := make([][]cloud.Resource, 4)
	var machines []*computepb.Instance
	var ops []*computepb.Operation
	g.Go(func() (err error) { machines, err = l.machines(region, owner); return err })
	g.Go(func() (err error) { ops, err = l.operations(unfinished); return err })
	for i, part := range []func() ([]cloud.Resource, error){l.listNetworks, l.listSubnetworks, l.listFirewalls, l.listRouters} {
		g.Go(func() (err error) { lists[i], err = part(); return err })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("gcp list %s: %w", region, d.session(ctx).explain(region, err))
	}
	others := slices.Concat(lists...)
	return append(l.vms(machines, ops, others), others...), nil
}

// machines lists the machines of an owner in a region, by their labels.
func (s *session) machines(region string, owner cloud.Owner) ([]*computepb.Instance, error) {
	c, err := s.instances()
	if err != nil {
		return nil, err
	}
	want := ownerLabels(region, owner)
	var terms []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		terms = append(terms, fmt.Sprintf("(labels.%s = %q)", k, want[k]))
	}
	it := c.AggregatedList(s.ctx, &computepb.AggregatedListInstancesRequest{Project: s.project, Filter: proto.String(strings.Join(terms, " AND "))})
	var out []*computepb.Instance
	err = each(it.Next, func(p compute.InstancesScopedListPair) { out = append(out, p.Value.GetInstances()...) })
	return out, wrap("instances.aggregatedList", err)
}

// lister is one List under way.
type lister struct {
	*session
	region string
	owner  cloud.Owner
}

// vms are the machines that are there, and those that could not be started.
func (l lister) vms(machines []*computepb.Instance, ops []*computepb.Operation, others []cloud.Resource) []cloud.Resource {
	var out []cloud.Resource
	seen := map[string]bool{}
	add := func(vm cloud.VM, owner cloud.Owner, tags map[string]string) {
		if owner.Matches(l.owner) && !seen[vm.ID] {
			seen[vm.ID] = true
			out = append(out, cloud.Resource{Kind: cloud.KindVM, Region: l.region, ID: vm.ID, Name: vm.Name, Owner: owner, VM: &vm, Tags: tags, Labels: userLabels(tags)})
		}
	}
	for _, i := range machines {
		vm := machine(i)
		if slices.ContainsFunc(ops, func(op *computepb.Operation) bool { return deletes(op, i.GetId()) }) {
			vm.State = cloud.VMDeleting
		}
		add(vm, cloud.OwnerOf(cloud.ParseDescription(i.GetDescription())), i.GetLabels())
	}
	owners := l.owners(append(slices.Clone(out), others...))
	for _, op := range ops {
		if !vanished(op) || regionOf(last(op.GetZone())) != l.region {
			continue
		}
		for _, o := range owners {
			if made(op.GetClientOperationId(), o) {
				add(vanishedVM(op), o, nil)
			}
		}
	}
	return out
}

// owners are those whose vanished machines are looked for: the one asked for,
// or all that have something in the region.
func (l lister) owners(all []cloud.Resource) []cloud.Owner {
	if l.owner.MCIS != "" {
		return []cloud.Owner{l.owner}
	}
	seen := map[cloud.Owner]bool{}
	for _, r := range all {
		seen[r.Owner] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// vanishedVM is a machine of which only the failed creation is known.
func vanishedVM(op *computepb.Operation) cloud.VM {
	zone := last(op.GetZone())
	return cloud.VM{
		ID: vmID(zone, op.GetTargetId()), Name: decodeName(last(op.GetTargetLink())), State: cloud.VMFailed, Reason: reason(op),
		Zone: zone, Created: instant(op.GetInsertTime()),
	}
}

// marked returns the resources of an owner among those with descriptions.
func (l lister) marked(out []cloud.Resource, kind cloud.Kind, name, description, parent string) []cloud.Resource {
	tags := cloud.ParseDescription(description)
	owner := cloud.OwnerOf(tags)
	if !owner.Matches(l.owner) || tags[keyRegion] != l.region {
		return out
	}
	return append(out, cloud.Resource{Kind: kind, Region: l.region, ID: name, Name: tags[keyName], Owner: owner, Parent: parent, Tags: tags})
}

func (l lister) listNetworks() (out []cloud.Resource, err error) {
	c, err := l.networks()
	if err != nil {
		return nil, err
	}
	it := c.List(l.ctx, &computepb.ListNetworksRequest{Project: l.project})
	err = each(it.Next, func(n *computepb.Network) {
		out = l.marked(out, cloud.KindNetwork, n.GetName(), n.GetDescription(), "")
	})
	return out, wrap("networks.list", err)
}

func (l lister) listSubnetworks() (out []cloud.Resource, err error) {
	c, err := l.subnetworks()
	if err != nil {
		return nil, err
	}
	it := c.List(l.ctx, &computepb.ListSubnetworksRequest{Project: l.project, Region: l.region})
	err = each(it.Next, func(n *computepb.Subnetwork) {
		out = l.marked(out, cloud.KindSubnet, n.GetName(), n.GetDescription(), last(n.GetNetwork()))
	})
	return out, wrap("subnetworks.list", err)
}

func (l lister) listFirewalls() (out []cloud.Resource, err error) {
	c, err := l.firewalls()
	if err != nil {
		return nil, err
	}
	it := c.List(l.ctx, &computepb.ListFirewallsRequest{Project: l.project})
	err = each(it.Next, func(f *computepb.Firewall) {
		out = l.marked(out, cloud.KindSecurityGroup, f.GetName(), f.GetDescription(), last(f.GetNetwork()))
	})
	return out, wrap("firewalls.list", err)
}

func (l lister) listRouters() (out []cloud.Resource, err error) {
	c, err := l.routers()
	if err != nil {
		return nil, err
	}
	it := c.List(l.ctx, &computepb.ListRoutersRequest{Project: l.project, Region: l.region})
	err = each(it.Next, func(r *computepb.Router) {
		out = l.marked(out, cloud.KindRouter, r.GetName(), r.GetDescription(), last(r.GetNetwork()))
	})
	return out, wrap("routers.list", err)
}
