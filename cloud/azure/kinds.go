package azure

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/cloud"
)

// kind is how a kind of resource is looked up and deleted.
type kind struct {
	kind string // its type
	// get returns an error if there is no such thing.
	get func(context.Context, place) (tags map[string]*string, state string, err error)
	// delete begins the deletion of something that is the owner's.
	delete func(context.Context, place, cloud.Owner) error
}

func (d *Driver) kinds() map[cloud.Kind]kind {
	return map[cloud.Kind]kind{
		cloud.KindVM: {typeMachine, d.getMachine, func(ctx context.Context, at place, _ cloud.Owner) error {
			p, err := d.api.machines.BeginDelete(ctx, at.group, at.name, nil)
			return begun("DELETE virtualMachines", p, err)
		}},
		cloud.KindPublicIP: {typeAddress, d.getAddress, func(ctx context.Context, at place, _ cloud.Owner) error {
			p, err := d.api.addresses.BeginDelete(ctx, at.group, at.name, nil)
			return begun("DELETE publicIPAddresses", p, err)
		}},
		cloud.KindPort: {typeInterface, d.getInterface, func(ctx context.Context, at place, _ cloud.Owner) error {
			p, err := d.api.interfaces.BeginDelete(ctx, at.group, at.name, nil)
			return begun("DELETE networkInterfaces", p, err)
		}},
		cloud.KindSecurityGroup: {typeSecurity, d.getSecurity, func(ctx context.Context, at place, _ cloud.Owner) error {
			p, err := d.api.securities.BeginDelete(ctx, at.group, at.name, nil)
			return begun("DELETE networkSecurityGroups", p, err)
		}},
		cloud.KindNetwork: {typeNetwork, d.getNetwork, func(ctx context.Context, at place, _ cloud.Owner) error {
			p, err := d.api.networks.BeginDelete(ctx, at.group, at.name, nil)
			return begun("DELETE virtualNetworks", p, err)
		}},
		cloud.KindGroup: {typeGroup, d.getGroup, d.deleteGroup},
	}
}

func (d *Driver) getMachine(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.machines.Get(ctx, at.group, at.name, nil)
	if v.Properties == nil {
		v.Properties = &armcompute.VirtualMachineProperties{}
	}
	return v.Tags, val(v.Properties.ProvisioningState), wrap("GET virtualMachines", err)
}

func (d *Driver) getAddress(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.addresses.Get(ctx, at.group, at.name, nil)
	if v.Properties == nil {
		v.Properties = &armnetwork.PublicIPAddressPropertiesFormat{}
	}
	return v.Tags, string(val(v.Properties.ProvisioningState)), wrap("GET publicIPAddresses", err)
}

func (d *Driver) getInterface(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.interfaces.Get(ctx, at.group, at.name, nil)
	if v.Properties == nil {
		v.Properties = &armnetwork.InterfacePropertiesFormat{}
	}
	return v.Tags, string(val(v.Properties.ProvisioningState)), wrap("GET networkInterfaces", err)
}

func (d *Driver) getSecurity(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.securities.Get(ctx, at.group, at.name, nil)
	if v.Properties == nil {
		v.Properties = &armnetwork.SecurityGroupPropertiesFormat{}
	}
	return v.Tags, string(val(v.Properties.ProvisioningState)), wrap("GET networkSecurityGroups", err)
}

func (d *Driver) getNetwork(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.networks.Get(ctx, at.group, at.name, nil)
	if v.Properties == nil {
		v.Properties = &armnetwork.VirtualNetworkPropertiesFormat{}
	}
	return v.Tags, string(val(v.Properties.ProvisioningState)), wrap("GET virtualNetworks", err)
}

func (d *Driver) getGroup(ctx context.Context, at place) (map[string]*string, string, error) {
	v, err := d.api.groups.Get(ctx, at.group, nil)
	state := ""
	if v.Properties != nil {
		state = val(v.Properties.ProvisioningState)
	}
	return v.Tags, state, wrap("GET resourceGroups", err)
}

// deleteGroup deletes a group with nothing in it but disks of the owner's, which
// a machine that Azure could not start may have left. ARM would delete all that
// is in it, so all else must go first.
func (d *Driver) deleteGroup(ctx context.Context, at place, owner cloud.Owner) error {
	for p := d.api.resources.NewListByResourceGroupPager(at.group, nil); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return wrap("GET resources", err)
		}
		for _, r := range page.Value {
			if r == nil || val(r.Type) == typeDisk && cloud.OwnerOf(tagMap(r.Tags)) == owner {
				continue
			}
			return fmt.Errorf("%w: %s %s is in it", cloud.ErrInUse, val(r.Type), val(r.Name))
		}
	}
	p, err := d.api.groups.BeginDelete(ctx, at.group, nil)
	return begun("DELETE resourceGroups", p, err)
}
