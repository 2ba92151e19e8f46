package azure

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// network is a virtual network. Its fabric network has its key as its id.
type network struct {
	resource
	cidr    netip.Prefix
	subnets []subnet
}

// subnet is a part of a network.
type subnet struct {
	name     string
	cidr     netip.Prefix
	outbound *bool // defaultOutboundAccess: machines without an address get out
}

// id returns a subnet's id.
func (n *network) subnetID(s subnet) string { return n.id() + "/subnets/" + s.name }

func (n *network) doc(c *call) armnetwork.VirtualNetwork {
	state := armnetwork.ProvisioningState(n.state)
	d := armnetwork.VirtualNetwork{
		ID: ptr(n.id()), Name: ptr(n.name), Type: ptr(networking + "/virtualNetworks"), Location: ptr(n.location), Tags: maps.Clone(n.tags), Etag: n.etag(n.subnets),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{ptr(n.cidr.String())}}, ProvisioningState: &state, ResourceGUID: ptr(n.guid),
		},
	}
	for _, s := range n.subnets {
		p := &armnetwork.SubnetPropertiesFormat{AddressPrefix: ptr(s.cidr.String()), ProvisioningState: &state, DefaultOutboundAccess: s.outbound}
		for _, v := range c.nics.Where(func(v *nic) bool { return v.subnet == strings.ToLower(n.subnetID(s)) }) {
			p.IPConfigurations = append(p.IPConfigurations, &armnetwork.IPConfiguration{ID: ptr(v.configID())})
		}
		d.Properties.Subnets = append(d.Properties.Subnets, &armnetwork.Subnet{
			ID: ptr(n.subnetID(s)), Name: ptr(s.name), Type: ptr(networking + "/virtualNetworks/subnets"), Etag: n.etag(s), Properties: p,
		})
	}
	return d
}

// readNetwork checks a network that a client sent.
func (c *call) readNetwork(p armnetwork.VirtualNetwork) (*network, *apiError) {
	r, err := c.newResource(p.Location, p.Tags, nil, 64)
	if err != nil {
		return nil, err
	}
	n := &network{resource: r}
	if p.Properties == nil || p.Properties.AddressSpace == nil || len(p.Properties.AddressSpace.AddressPrefixes) == 0 {
		return nil, fault(400, "MissingAddressSpace", "Virtual network %s must have an address space.", n.id())
	}
	if len(p.Properties.AddressSpace.AddressPrefixes) > 1 {
		return nil, notSimulated("virtual networks with several ranges")
	}
	cidr, e := netip.ParsePrefix(or(p.Properties.AddressSpace.AddressPrefixes[0], ""))
	if e != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 8 || cidr.Bits() > 29 {
		return nil, fault(400, "InvalidAddressPrefixFormat", "Address prefix %s of resource %s is not formatted correctly.", or(p.Properties.AddressSpace.AddressPrefixes[0], ""), n.id())
	}
	n.cidr = cidr
	for _, s := range p.Properties.Subnets {
		if err := n.addSubnet(s); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *network) addSubnet(s *armnetwork.Subnet) *apiError {
	if s == nil || or(s.Name, "") == "" || s.Properties == nil {
		return fault(400, "InvalidRequestFormat", "Cannot parse the request: a subnet of %s has no name or no properties.", n.id())
	}
	text := or(s.Properties.AddressPrefix, "")
	if text == "" && len(s.Properties.AddressPrefixes) == 1 {
		text = or(s.Properties.AddressPrefixes[0], "")
	}
	cidr, err := netip.ParsePrefix(text)
	if err != nil || cidr != cidr.Masked() || cidr.Bits() > 29 {
		return fault(400, "InvalidAddressPrefixFormat", "Address prefix %s of resource %s/subnets/%s is not formatted correctly.", text, n.id(), *s.Name)
	}
	if !n.cidr.Contains(cidr.Addr()) || cidr.Bits() < n.cidr.Bits() {
		return fault(400, "NetcfgInvalidSubnet", "Subnet '%s' is not valid in virtual network '%s'.", *s.Name, n.name)
	}
	if s.Properties.NetworkSecurityGroup != nil || s.Properties.NatGateway != nil || s.Properties.RouteTable != nil {
		return notSimulated("subnets with a security group, NAT gateway or route table")
	}
	for _, o := range n.subnets {
		switch {
		case strings.EqualFold(o.name, *s.Name):
			return fault(400, "InvalidRequestFormat", "Cannot parse the request: subnet %s is there twice.", *s.Name)
		case o.cidr.Overlaps(cidr):
			return fault(400, "NetcfgSubnetRangesOverlap", "Subnet '%s' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '%s'.", *s.Name, n.name)
		}
	}
	n.subnets = append(n.subnets, subnet{*s.Name, cidr, s.Properties.DefaultOutboundAccess})
	return nil
}

// notSimulated refuses what the real Azure has and this one does not.
func notSimulated(what string) *apiError {
	return fault(400, "NotSimulated", "The simulated Azure has no %s.", what)
}

func (c *call) putNetwork(_ context.Context, _, _ string, p armnetwork.VirtualNetwork, _ *armnetwork.VirtualNetworksClientBeginCreateOrUpdateOptions) (fake.PollerResponder[armnetwork.VirtualNetworksClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armnetwork.VirtualNetworksClientCreateOrUpdateResponse
	n, err := c.readNetwork(p)
	if err != nil {
		return refused[response](err)
	}
	old, ok := c.networks.Get(n.key())
	status := 200
	if !ok {
		if err := c.overQuota("network", n.location, c.networks.Len(), "VirtualNetworkCountLimitReached", "Cannot create more than %d virtual networks for this subscription in this region."); err != nil {
			return refused[response](err)
		}
		if err := c.opts.Fabric.AddNetwork(c.ctx, fabric.Network{ID: n.key(), CIDR: n.cidr}); err != nil {
			return refused[response](fault(500, "InternalServerError", "%s", err))
		}
		old, status = n, 201
		c.networks.Put(n.key(), n)
	} else if err := c.changeNetwork(old, n); err != nil {
		return refused[response](err)
	}
	old.state = stateUpdating
	if err := c.rewire(old); err != nil {
		return refused[response](err)
	}
	c.later(networking, old.location, func(*call) *apiError {
		if old.state == stateUpdating {
			old.state = stateSucceeded
		}
		return nil
	})
	return accepted(status, response{VirtualNetwork: old.doc(c)})
}

// changeNetwork brings a network to what a PUT says: subnets that it does not
// name are deleted.
func (c *call) changeNetwork(old, n *network) *apiError {
	if err := old.same(n.resource); err != nil {
		return err
	}
	if old.cidr != n.cidr {
		return notSimulated("change of a virtual network's range")
	}
	for _, s := range old.subnets {
		kept := slices.ContainsFunc(n.subnets, func(o subnet) bool { return strings.EqualFold(o.name, s.name) && o.cidr == s.cidr })
		if kept {
			continue
		}
		if err := c.subnetFree(old, s); err != nil {
			return err
		}
	}
	old.subnets, old.tags = n.subnets, n.tags
	return nil
}

// subnetFree returns an error while an interface is in a subnet.
func (c *call) subnetFree(n *network, s subnet) *apiError {
	id := strings.ToLower(n.subnetID(s))
	for _, v := range c.nics.All() {
		if v.subnet == id {
			return fault(400, "InUseSubnetCannotBeDeleted", "Subnet %s is in use by %s and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.", s.name, v.configID())
		}
	}
	return nil
}

// rewire makes the fabric's way out follow the network's subnets.
func (c *call) rewire(n *network) *apiError {
	snat := slices.ContainsFunc(n.subnets, func(s subnet) bool { return or(s.outbound, false) })
	if err := c.opts.Fabric.SetGateway(c.ctx, n.key(), fabric.Gateway{Attached: true, SNAT: snat}); err != nil {
		return fault(500, "InternalServerError", "%s", err)
	}
	return nil
}

// ownNetwork finds the network that the request names.
func (c *call) ownNetwork() (*network, *apiError) {
	n, ok := c.networks.Get(c.path.key())
	if !ok {
		return nil, notFound(c.path)
	}
	return n, nil
}

func (c *call) getNetwork(context.Context, string, string, *armnetwork.VirtualNetworksClientGetOptions) (fake.Responder[armnetwork.VirtualNetworksClientGetResponse], fake.ErrorResponder) {
	n, err := c.ownNetwork()
	if err != nil {
		return denied[armnetwork.VirtualNetworksClientGetResponse](err)
	}
	return done(200, armnetwork.VirtualNetworksClientGetResponse{VirtualNetwork: n.doc(c)})
}

func (c *call) deleteNetwork(context.Context, string, string, *armnetwork.VirtualNetworksClientBeginDeleteOptions) (fake.PollerResponder[armnetwork.VirtualNetworksClientDeleteResponse], fake.ErrorResponder) {
	type response = armnetwork.VirtualNetworksClientDeleteResponse
	n, ok := c.networks.Get(c.path.key())
	if !ok {
		return accepted(204, response{})
	}
	for _, s := range n.subnets {
		if err := c.subnetFree(n, s); err != nil {
			return refused[response](err)
		}
	}
	if n.state != stateDeleting {
		n.state = stateDeleting
		c.later(networking, n.location, func(c *call) *apiError { return c.removeNetwork(n) })
	}
	return accepted(202, response{})
}

// removeNetwork ends a network.
func (c *call) removeNetwork(n *network) *apiError {
	if err := c.opts.Fabric.RemoveNetwork(c.ctx, n.key()); err != nil {
		n.state = stateFailed
		return fault(500, "InternalServerError", "%s", err)
	}
	c.networks.Delete(n.key())
	return nil
}

func (c *call) pageVirtualNetwork(keep func(*network) bool) ([]*armnetwork.VirtualNetwork, *string) {
	return page(c, c.networks.Where(keep), func(n *network) *armnetwork.VirtualNetwork { return ptr(n.doc(c)) })
}

func (c *call) listNetworks(string, *armnetwork.VirtualNetworksClientListOptions) fake.PagerResponder[armnetwork.VirtualNetworksClientListResponse] {
	var body armnetwork.VirtualNetworksClientListResponse
	body.Value, body.NextLink = c.pageVirtualNetwork(func(n *network) bool { return n.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listAllNetworks(*armnetwork.VirtualNetworksClientListAllOptions) fake.PagerResponder[armnetwork.VirtualNetworksClientListAllResponse] {
	var body armnetwork.VirtualNetworksClientListAllResponse
	body.Value, body.NextLink = c.pageVirtualNetwork(func(*network) bool { return true })
	return pager(body)
}

// overQuota returns an error if one more of a kind is too many; text has the
// limit in it.
func (c *call) overQuota(kind, region string, have int, code, text string) *apiError {
	limit, ok := c.opts.Faults.Quota(Name, region, kind)
	if !ok || have < limit {
		return nil
	}
	return fault(400, code, "%s", fmt.Sprintf(text, limit))
}
