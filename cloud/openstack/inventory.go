package openstack

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// List implements cloud.Driver by eight calls, made at the same time. A port or
// floating IP of a listed machine is not listed beside it; one without a
// machine is.
func (d *Driver) List(ctx context.Context, name string, owner cloud.Owner) ([]cloud.Resource, error) {
	if owner.Mesh == "" {
		return nil, fmt.Errorf("list %s: %w: the owner names no mesh", name, cloud.ErrInvalid)
	}
	r, err := d.in(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	inv, err := read(ctx, r, owner)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	return inv.resources(name, owner), nil
}

// inventory is what the services answered.
type inventory struct {
	servers  []servers.Server
	ports    []ports.Port
	floating []floatingips.FloatingIP
	routers  []routers.Router
	groups   []groups.SecGroup
	subnets  []subnets.Subnet
	networks []networks.Network
	keys     []keypairs.KeyPair
}

func read(ctx context.Context, r services, owner cloud.Owner) (inventory, error) {
	var inv inventory
	var mark string // as a filter it must match the whole description
	if owner.MCIS != "" {
		mark = owner.Description()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		inv.servers, err = all(ctx, "GET /servers/detail", servers.List(r.compute, servers.ListOpts{}), servers.ExtractServers)
		return err
	})
	g.Go(func() (err error) {
		inv.ports, err = all(ctx, "GET /ports", ports.List(r.network, ports.ListOpts{Description: mark}), ports.ExtractPorts)
		return err
	})
	g.Go(func() (err error) {
		inv.floating, err = all(ctx, "GET /floatingips", floatingips.List(r.network, floatingips.ListOpts{Description: mark}), floatingips.ExtractFloatingIPs)
		return err
	})
	g.Go(func() (err error) {
		inv.routers, err = all(ctx, "GET /routers", routers.List(r.network, routers.ListOpts{Description: mark}), routers.ExtractRouters)
		return err
	})
	g.Go(func() (err error) {
		inv.groups, err = all(ctx, "GET /security-groups", groups.List(r.network, groups.ListOpts{Description: mark}), groups.ExtractGroups)
		return err
	})
	g.Go(func() (err error) {
		inv.subnets, err = all(ctx, "GET /subnets", subnets.List(r.network, subnets.ListOpts{Description: mark}), subnets.ExtractSubnets)
		return err
	})
	g.Go(func() (err error) {
		inv.networks, err = all(ctx, "GET /networks", networks.List(r.network, networks.ListOpts{Description: mark}), networks.ExtractNetworks)
		return err
	})
	g.Go(func() (err error) {
		inv.keys, err = all(ctx, "GET /os-keypairs", keypairs.List(r.compute, nil), keypairs.ExtractKeyPairs)
		return err
	})
	return inv, g.Wait()
}

// resources picks what bears the owner's mark.
func (inv inventory) resources(region string, owner cloud.Owner) []cloud.Resource {
	var out []cloud.Resource
	add := func(kind cloud.Kind, id, name string, tags map[string]string) *cloud.Resource {
		res := cloud.Resource{Kind: kind, Region: region, ID: id, Name: name, Owner: cloud.OwnerOf(tags), Tags: tags}
		if !res.Owner.Matches(owner) {
			return nil
		}
		out = append(out, res)
		return &out[len(out)-1]
	}
	byID, byName := map[string]*cloud.VM{}, map[string]*cloud.VM{}
	for _, s := range inv.servers {
		if ended(s) {
			continue
		}
		if res := add(cloud.KindVM, s.ID, s.Name, s.Metadata); res != nil {
			vm := machine(s)
			res.VM, res.Labels = &vm, labels(s.Metadata)
			byID[s.ID] = &vm
			if vm.State != cloud.VMFailed || byName[s.Name] == nil {
				byName[s.Name] = &vm
			}
		}
	}
	holder := map[string]*cloud.VM{} // of a port
	for _, p := range inv.ports {
		tags := cloud.ParseDescription(p.Description)
		vm := byID[p.DeviceID]
		if vm == nil && p.DeviceID == "" && cloud.OwnerOf(tags).Matches(owner) {
			vm = byName[p.Name] // Nova binds the port some seconds after the create
		}
		if vm == nil {
			add(cloud.KindPort, p.ID, p.Name, tags)
			continue
		}
		holder[p.ID] = vm
		vm.PrivateIP = firstIP(p)
	}
	for _, f := range inv.floating {
		if vm := holder[f.PortID]; vm != nil {
			vm.PublicIP = addr(f.FloatingIP)
			continue
		}
		add(cloud.KindPublicIP, f.ID, f.FloatingIP, cloud.ParseDescription(f.Description))
	}
	for _, v := range inv.routers {
		add(cloud.KindRouter, v.ID, v.Name, cloud.ParseDescription(v.Description))
	}
	for _, v := range inv.groups {
		add(cloud.KindSecurityGroup, v.ID, v.Name, cloud.ParseDescription(v.Description))
	}
	for _, v := range inv.subnets {
		if res := add(cloud.KindSubnet, v.ID, v.Name, cloud.ParseDescription(v.Description)); res != nil {
			res.Parent = v.NetworkID
		}
	}
	for _, v := range inv.networks {
		add(cloud.KindNetwork, v.ID, v.Name, cloud.ParseDescription(v.Description))
	}
	for _, v := range inv.keys {
		add(cloud.KindKey, v.Name, v.Name, keyOwner(v.Name).Tags())
	}
	return out
}

// firstIP returns a port's first address.
func firstIP(p ports.Port) netip.Addr {
	if len(p.FixedIPs) == 0 {
		return netip.Addr{}
	}
	return addr(p.FixedIPs[0].IPAddress)
}
