package aws

import (
	"net/netip"
	"slices"
)

// address is an elastic IP address.
type address struct {
	id  string
	ip  netip.Addr
	eni string // "" while it is not associated
}

func allocateAddress(c *call) (any, error) {
	tags, err := tagSpecs(c.q, "elastic-ip")
	if err != nil {
		return nil, err
	}
	if max, ok := c.opts.Faults.Quota(Name, c.r.name, "publicIp"); ok && c.r.addresses.Len() >= max {
		return nil, fault(400, "AddressLimitExceeded", "The maximum number of addresses has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	ip, err := c.opts.Fabric.AllocatePublic(c.ctx)
	if err != nil {
		return nil, fault(400, "InsufficientAddressCapacity", "There are not enough addresses available: %v", err)
	}
	a := &address{id: newID("eipalloc-"), ip: ip}
	c.r.addresses.Put(a.id, a)
	c.r.setTags(a.id, tags["elastic-ip"])
	return struct {
		IP     string `xml:"publicIp"`
		ID     string `xml:"allocationId"`
		Pool   string `xml:"publicIpv4Pool"`
		Border string `xml:"networkBorderGroup"`
		Domain string `xml:"domain"`
	}{a.ip.String(), a.id, "amazon", c.r.name, "vpc"}, nil
}

// elastic returns the address that a request names by allocation or by itself.
func (c *call) elastic() (*address, error) {
	if c.q.str("AllocationId") != "" {
		return findParam(c, &c.r.addresses, "eipalloc-", "AllocationId")
	}
	ip := c.q.str("PublicIp")
	if ip == "" {
		return nil, fault(400, "MissingParameter", "The request must contain the parameter AllocationId or PublicIp")
	}
	found := c.r.addresses.Where(func(a *address) bool { return a.ip.String() == ip })
	if len(found) == 0 {
		return nil, fault(400, "InvalidAddress.NotFound", "Address '%s' not found.", ip)
	}
	return found[0], nil
}

func associateAddress(c *call) (any, error) {
	a, err := c.elastic()
	if err != nil {
		return nil, err
	}
	e, err := c.associateTarget()
	if err != nil {
		return nil, err
	}
	if !c.r.gateways.Any(func(g *gateway) bool { return g.vpc == e.vpc }) {
		return nil, fault(400, "Gateway.NotAttached", "Network %s is not attached to any internet gateway", e.vpc)
	}
	again, err := c.q.boolean("AllowReassociation", true)
	if err != nil {
		return nil, err
	}
	old, taken := c.r.enis.Get(a.eni)
	if taken && old != e && !again {
		return nil, fault(400, "Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.id, old.association)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	if taken {
		if err := c.takePublic(old); err != nil {
			return nil, err
		}
	}
	if other := e.allocation; other != "" {
		if o, ok := c.r.addresses.Get(other); ok {
			o.eni = ""
		}
	}
	if err := c.takePublic(e); err != nil {
		return nil, err
	}
	a.eni, e.public, e.allocation, e.association = e.id, a.ip, a.id, newID("eipassoc-")
	return struct {
		Return bool   `xml:"return"`
		ID     string `xml:"associationId"`
	}{true, e.association}, c.remap(e)
}

// associateTarget returns the interface that an address is to belong to.
func (c *call) associateTarget() (*eni, error) {
	if c.q.str("NetworkInterfaceId") != "" {
		return findParam(c, &c.r.enis, "eni-", "NetworkInterfaceId")
	}
	i, err := findParam(c, &c.r.instances, "i-", "InstanceId")
	if err != nil {
		return nil, err
	}
	e, ok := c.r.enis.Get(i.eni)
	if !ok || i.state == statePending || i.state == stateShuttingDown {
		return nil, fault(400, "IncorrectInstanceState", "The instance '%s' is not in a valid state for this operation.", i.id)
	}
	return e, nil
}

func disassociateAddress(c *call) (any, error) {
	var found []*address
	id, ip := c.q.str("AssociationId"), c.q.str("PublicIp")
	if id == "" && ip == "" {
		return nil, fault(400, "MissingParameter", "The request must contain the parameter AssociationId or PublicIp")
	}
	found = c.r.addresses.Where(func(a *address) bool {
		e, ok := c.r.enis.Get(a.eni)
		return ok && (id != "" && e.association == id || id == "" && a.ip.String() == ip)
	})
	if len(found) == 0 {
		return nil, fault(400, "InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	e, _ := c.r.enis.Get(found[0].eni)
	found[0].eni = ""
	return done{true}, c.takePublic(e)
}

func releaseAddress(c *call) (any, error) {
	a, err := c.elastic()
	if err != nil {
		return nil, err
	}
	if a.eni != "" {
		return nil, fault(400, "InvalidIPAddress.InUse", "Address %s is in use.", a.ip)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	if err := c.opts.Fabric.ReleasePublic(a.ip); err != nil {
		return nil, err
	}
	c.r.addresses.Delete(a.id)
	c.r.forget(a.id)
	return done{true}, nil
}

type xmlAddress struct {
	IP          string      `xml:"publicIp"`
	ID          string      `xml:"allocationId"`
	Domain      string      `xml:"domain"`
	Instance    string      `xml:"instanceId,omitempty"`
	Association string      `xml:"associationId,omitempty"`
	ENI         string      `xml:"networkInterfaceId,omitempty"`
	ENIOwner    string      `xml:"networkInterfaceOwnerId,omitempty"`
	Private     string      `xml:"privateIpAddress,omitempty"`
	Pool        string      `xml:"publicIpv4Pool"`
	Border      string      `xml:"networkBorderGroup"`
	Tags        set[xmlTag] `xml:"tagSet"`
}

// xmlAddress prints an elastic address.
func (r *region) xmlAddress(a *address) xmlAddress {
	x := xmlAddress{IP: a.ip.String(), ID: a.id, Domain: "vpc", Pool: "amazon", Border: r.name, Tags: r.xmlTags(a.id)}
	if e, ok := r.enis.Get(a.eni); ok {
		x.Instance, x.Association, x.ENI, x.ENIOwner, x.Private = e.instance, e.association, e.id, account, e.ip.String()
	}
	return x
}

func describeAddresses(c *call) (any, error) {
	rows, err := selected(c, &c.r.addresses, selection[*address]{
		param: "AllocationId", prefix: "eipalloc-",
		id: func(a *address) string { return a.id },
		attrs: func(a *address, f string) ([]string, bool) {
			x := c.r.xmlAddress(a)
			return fields(map[string][]string{
				"allocation-id": {a.id}, "public-ip": {x.IP}, "domain": {"vpc"}, "instance-id": {x.Instance},
				"association-id": {x.Association}, "network-interface-id": {x.ENI}, "private-ip-address": {x.Private},
				"network-border-group": {x.Border},
			})(f)
		},
	})
	if err != nil {
		return nil, err
	}
	if ips := c.q.list("PublicIp"); len(ips) > 0 {
		for _, ip := range ips {
			if !c.r.addresses.Any(func(a *address) bool { return a.ip.String() == ip }) {
				return nil, fault(400, "InvalidAddress.NotFound", "Address '%s' not found.", ip)
			}
		}
		rows = slices.DeleteFunc(rows, func(a *address) bool { return !slices.Contains(ips, a.ip.String()) })
	}
	return struct {
		Addresses set[xmlAddress] `xml:"addressesSet"`
	}{setOf(rows, c.r.xmlAddress)}, nil
}
