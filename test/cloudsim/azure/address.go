package azure

import (
	"context"
	"maps"
	"net/netip"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// address is a public address, of the kind Standard and static.
type address struct {
	resource
	ip netip.Addr
}

// holder returns the interface that has an address, nil for none.
func (c *call) holder(a *address) *nic {
	for _, v := range c.nics.All() {
		if v.address == a.key() {
			return v
		}
	}
	return nil
}

func (a *address) doc(c *call) armnetwork.PublicIPAddress {
	state := armnetwork.ProvisioningState(a.state)
	d := armnetwork.PublicIPAddress{
		ID: ptr(a.id()), Name: ptr(a.name), Type: ptr(networking + "/publicIPAddresses"), Location: ptr(a.location), Tags: maps.Clone(a.tags), Zones: a.zones,
		Etag: a.etag(a.ip),
		SKU:  &armnetwork.PublicIPAddressSKU{Name: ptr(armnetwork.PublicIPAddressSKUNameStandard), Tier: ptr(armnetwork.PublicIPAddressSKUTierRegional)},
		Properties: &armnetwork.PublicIPAddressPropertiesFormat{
			ProvisioningState: &state, ResourceGUID: ptr(a.guid), PublicIPAddressVersion: ptr(armnetwork.IPVersionIPv4),
			PublicIPAllocationMethod: ptr(armnetwork.IPAllocationMethodStatic), IdleTimeoutInMinutes: ptr(int32(4)),
		},
	}
	if a.state != stateUpdating {
		d.Properties.IPAddress = ptr(a.ip.String())
	}
	if v := c.holder(a); v != nil {
		d.Properties.IPConfiguration = &armnetwork.IPConfiguration{ID: ptr(v.configID())}
	}
	return d
}

func (c *call) putAddress(_ context.Context, _, _ string, p armnetwork.PublicIPAddress, _ *armnetwork.PublicIPAddressesClientBeginCreateOrUpdateOptions) (fake.PollerResponder[armnetwork.PublicIPAddressesClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armnetwork.PublicIPAddressesClientCreateOrUpdateResponse
	r, err := c.newResource(p.Location, p.Tags, p.Zones, 80)
	if err != nil {
		return refused[response](err)
	}
	switch {
	case p.SKU == nil || or(p.SKU.Name, "") != armnetwork.PublicIPAddressSKUNameStandard:
		return refused[response](fault(400, "IPv4BasicSkuPublicIpCountLimitReached", "Cannot create more than 0 IPv4 Basic SKU public IP addresses for this subscription in this region."))
	case p.Properties == nil || or(p.Properties.PublicIPAllocationMethod, "") != armnetwork.IPAllocationMethodStatic:
		return refused[response](fault(400, "StandardSkuPublicIPAddressesMustBeStatic", "Standard sku publicIp %s must have AllocationMethod set to Static.", r.id()))
	case or(p.Properties.PublicIPAddressVersion, armnetwork.IPVersionIPv4) != armnetwork.IPVersionIPv4:
		return refused[response](notSimulated("IPv6"))
	}
	if a, ok := c.addresses.Get(r.key()); ok {
		if err := a.same(r); err != nil {
			return refused[response](err)
		}
		a.tags = r.tags
		return accepted(200, response{PublicIPAddress: a.doc(c)})
	}
	have := len(c.addresses.Where(func(a *address) bool { return a.location == r.location }))
	if err := c.overQuota("publicIp", r.location, have, "PublicIPCountLimitReached", "Cannot create more than %d public IP addresses for this subscription in this region."); err != nil {
		return refused[response](err)
	}
	ip, e := c.opts.Fabric.AllocatePublic(c.ctx)
	if e != nil {
		return refused[response](fault(500, "InternalServerError", "%s", e))
	}
	a := &address{resource: r, ip: ip}
	c.addresses.Put(a.key(), a)
	c.later(networking, a.location, func(*call) *apiError {
		if a.state == stateUpdating {
			a.state = stateSucceeded
		}
		return nil
	})
	return accepted(201, response{PublicIPAddress: a.doc(c)})
}

func (c *call) getAddress(context.Context, string, string, *armnetwork.PublicIPAddressesClientGetOptions) (fake.Responder[armnetwork.PublicIPAddressesClientGetResponse], fake.ErrorResponder) {
	a, ok := c.addresses.Get(c.path.key())
	if !ok {
		return denied[armnetwork.PublicIPAddressesClientGetResponse](notFound(c.path))
	}
	return done(200, armnetwork.PublicIPAddressesClientGetResponse{PublicIPAddress: a.doc(c)})
}

func (c *call) deleteAddress(context.Context, string, string, *armnetwork.PublicIPAddressesClientBeginDeleteOptions) (fake.PollerResponder[armnetwork.PublicIPAddressesClientDeleteResponse], fake.ErrorResponder) {
	type response = armnetwork.PublicIPAddressesClientDeleteResponse
	a, ok := c.addresses.Get(c.path.key())
	if !ok {
		return accepted(204, response{})
	}
	if v := c.holder(a); v != nil {
		return refused[response](fault(400, "PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s. In order to delete the public IP, disassociate/detach the Public IP address from the resource.", a.id(), v.configID()))
	}
	c.endAddress(a)
	return accepted(202, response{})
}

// endAddress begins the deletion of an address that nobody has.
func (c *call) endAddress(a *address) {
	if a.state == stateDeleting {
		return
	}
	a.state = stateDeleting
	c.later(networking, a.location, func(c *call) *apiError { return c.removeAddress(a) })
}

// removeAddress ends an address.
func (c *call) removeAddress(a *address) *apiError {
	if err := c.opts.Fabric.ReleasePublic(a.ip); err != nil {
		a.state = stateFailed
		return fault(500, "InternalServerError", "%s", err)
	}
	c.addresses.Delete(a.key())
	return nil
}

func (c *call) pagePublicIPAddress(keep func(*address) bool) ([]*armnetwork.PublicIPAddress, *string) {
	return page(c, c.addresses.Where(keep), func(a *address) *armnetwork.PublicIPAddress { return ptr(a.doc(c)) })
}

func (c *call) listAddresses(string, *armnetwork.PublicIPAddressesClientListOptions) fake.PagerResponder[armnetwork.PublicIPAddressesClientListResponse] {
	var body armnetwork.PublicIPAddressesClientListResponse
	body.Value, body.NextLink = c.pagePublicIPAddress(func(a *address) bool { return a.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listAllAddresses(*armnetwork.PublicIPAddressesClientListAllOptions) fake.PagerResponder[armnetwork.PublicIPAddressesClientListAllResponse] {
	var body armnetwork.PublicIPAddressesClientListAllResponse
	body.Value, body.NextLink = c.pagePublicIPAddress(func(*address) bool { return true })
	return pager(body)
}
