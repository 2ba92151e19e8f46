package azure

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// List implements cloud.Driver by seven calls, made at the same time. An
// interface or address of a listed machine is not listed beside it, and neither
// is one that is already being deleted, as they are after their machine: its
// group, which is listed for as long as anything is in it, tells of those.
func (d *Driver) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	region = d.in(region)
	fail := func(err error) ([]cloud.Resource, error) {
		return nil, fmt.Errorf("azure list %s: %w", region, err)
	}
	if owner.Mesh == "" {
		return fail(fmt.Errorf("%w: the owner names no mesh", cloud.ErrInvalid))
	}
	inv, err := d.readAll(ctx, region, owner)
	if err != nil {
		return fail(d.explain(ctx, region, err))
	}
	return inv.resources(d, region, owner), nil
}

// inventory is what ARM answered, of all regions where it cannot be asked for
// one.
type inventory struct {
	groups     []*armresources.ResourceGroup
	networks   []*armnetwork.VirtualNetwork
	securities []*armnetwork.SecurityGroup
	interfaces []*armnetwork.Interface
	addresses  []*armnetwork.PublicIPAddress
	machines   []*armcompute.VirtualMachine
	views      []*armcompute.VirtualMachine // with their instance views and little else
}

func (d *Driver) readAll(ctx context.Context, region string, owner cloud.Owner) (inv inventory, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		filter := fmt.Sprintf("tagName eq '%s' and tagValue eq '%s'", cloud.KeyMesh, strings.ReplaceAll(owner.Mesh, "'", "''"))
		inv.groups, err = all(ctx, "GET resourceGroups", d.api.groups.NewListPager(&armresources.ResourceGroupsClientListOptions{Filter: &filter}),
			func(p armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup { return p.Value })
		return err
	})
	g.Go(func() (err error) {
		inv.networks, err = all(ctx, "GET virtualNetworks", d.api.networks.NewListAllPager(nil),
			func(p armnetwork.VirtualNetworksClientListAllResponse) []*armnetwork.VirtualNetwork { return p.Value })
		return err
	})
	g.Go(func() (err error) {
		inv.securities, err = all(ctx, "GET networkSecurityGroups", d.api.securities.NewListAllPager(nil),
			func(p armnetwork.SecurityGroupsClientListAllResponse) []*armnetwork.SecurityGroup { return p.Value })
		return err
	})
	g.Go(func() (err error) {
		inv.interfaces, err = all(ctx, "GET networkInterfaces", d.api.interfaces.NewListAllPager(nil),
			func(p armnetwork.InterfacesClientListAllResponse) []*armnetwork.Interface { return p.Value })
		return err
	})
	g.Go(func() (err error) {
		inv.addresses, err = all(ctx, "GET publicIPAddresses", d.api.addresses.NewListAllPager(nil),
			func(p armnetwork.PublicIPAddressesClientListAllResponse) []*armnetwork.PublicIPAddress {
				return p.Value
			})
		return err
	})
	g.Go(func() (err error) {
		inv.machines, err = all(ctx, "GET virtualMachines", d.api.machines.NewListByLocationPager(region, nil),
			func(p armcompute.VirtualMachinesClientListByLocationResponse) []*armcompute.VirtualMachine {
				return p.Value
			})
		return err
	})
	g.Go(func() (err error) {
		inv.views, err = all(ctx, "GET virtualMachines", d.api.machines.NewListAllPager(&armcompute.VirtualMachinesClientListAllOptions{StatusOnly: to.Ptr("true")}),
			func(p armcompute.VirtualMachinesClientListAllResponse) []*armcompute.VirtualMachine { return p.Value })
		return err
	})
	return inv, g.Wait()
}

// all reads every page of a listing, without what is nil.
func all[P, T any](ctx context.Context, op string, p *runtime.Pager[P], value func(P) []*T) ([]*T, error) {
	var out []*T
	for p.More() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap(op, err)
		}
		for _, v := range value(page) {
			if v != nil {
				out = append(out, v)
			}
		}
	}
	return out, nil
}

// nic is what matters of an interface.
type nic struct {
	tags    map[string]string
	state   string
	subnet  string // id
	private netip.Addr
	address string // id of its public address, "" for none
	machine string // id, "" for none
}

func readInterface(i *armnetwork.Interface) nic {
	if i == nil || i.Properties == nil {
		return nic{}
	}
	n := nic{tags: tagMap(i.Tags), state: string(val(i.Properties.ProvisioningState))}
	if i.Properties.VirtualMachine != nil {
		n.machine = val(i.Properties.VirtualMachine.ID)
	}
	for _, c := range i.Properties.IPConfigurations {
		if c == nil || c.Properties == nil || n.private.IsValid() {
			continue
		}
		n.private = addr(c.Properties.PrivateIPAddress)
		if c.Properties.Subnet != nil {
			n.subnet = val(c.Properties.Subnet.ID)
		}
		if c.Properties.PublicIPAddress != nil {
			n.address = val(c.Properties.PublicIPAddress.ID)
		}
	}
	return n
}

// resources picks what is in the region and bears the owner's mark.
func (inv inventory) resources(d *Driver, region string, owner cloud.Owner) []cloud.Resource {
	var out []cloud.Resource
	add := func(kind cloud.Kind, id string, name, location *string, tags map[string]*string) *cloud.Resource {
		m := tagMap(tags)
		res := cloud.Resource{Kind: kind, Region: region, ID: id, Name: val(name), Owner: cloud.OwnerOf(m), Tags: m}
		if !res.Owner.Matches(owner) || !strings.EqualFold(val(location), region) {
			return nil
		}
		out = append(out, res)
		return &out[len(out)-1]
	}
	views := map[string]*armcompute.VirtualMachineInstanceView{}
	for _, m := range inv.views {
		if m.Properties != nil {
			views[d.canonical(typeMachine, val(m.ID))] = m.Properties.InstanceView
		}
	}
	machines := map[string]*cloud.VM{}
	for _, m := range inv.machines {
		id := d.canonical(typeMachine, val(m.ID))
		res := add(cloud.KindVM, id, m.Name, m.Location, m.Tags)
		if res == nil {
			continue
		}
		vm := d.read(m, views[id])
		res.VM, res.Name, res.Labels = &vm, vm.Name, decodeLabels(res.Tags)
		machines[id] = &vm
	}
	holder := map[string]*cloud.VM{} // of an address
	for _, i := range inv.interfaces {
		n := readInterface(i)
		switch {
		case n.machine != "":
			// The machine may not be in its list yet, or not any more.
			vm := machines[d.canonical(typeMachine, n.machine)]
			if vm == nil {
				vm = &cloud.VM{}
			}
			vm.PrivateIP = n.private
			holder[d.canonical(typeAddress, n.address)] = vm
		case n.state != stateDeleting:
			add(cloud.KindPort, d.canonical(typeInterface, val(i.ID)), i.Name, i.Location, i.Tags)
		}
	}
	for _, a := range inv.addresses {
		if a.Properties == nil {
			a.Properties = &armnetwork.PublicIPAddressPropertiesFormat{}
		}
		id := d.canonical(typeAddress, val(a.ID))
		switch vm := holder[id]; {
		case vm != nil:
			vm.PublicIP = addr(a.Properties.IPAddress)
		case val(a.Properties.ProvisioningState) != armnetwork.ProvisioningStateDeleting:
			add(cloud.KindPublicIP, id, a.Name, a.Location, a.Tags)
		}
	}
	for _, s := range inv.securities {
		add(cloud.KindSecurityGroup, d.canonical(typeSecurity, val(s.ID)), s.Name, s.Location, s.Tags)
	}
	for _, n := range inv.networks {
		add(cloud.KindNetwork, d.canonical(typeNetwork, val(n.ID)), n.Name, n.Location, n.Tags)
	}
	for _, g := range inv.groups {
		add(cloud.KindGroup, d.canonical(typeGroup, val(g.ID)), g.Name, g.Location, g.Tags)
	}
	return out
}
