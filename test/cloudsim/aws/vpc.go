package aws

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// vpc is a virtual private cloud: one network of the fabric.
type vpc struct {
	id           string
	cidr         netip.Prefix
	isDefault    bool
	dnsHostnames bool
	noDNS        bool // enableDnsSupport is off
	wired        bool // the fabric has it
}

// addVPC makes a VPC with what each has from the start: a main route table and
// a default security group.
func (r *region) addVPC(cidr netip.Prefix) *vpc {
	v := &vpc{id: newID("vpc-"), cidr: cidr}
	r.vpcs.Put(v.id, v)
	t := &routeTable{id: newID("rtb-"), vpc: v.id, routes: []route{{to: cidr, local: true}}}
	t.main = newID("rtbassoc-")
	r.tables.Put(t.id, t)
	g := &group{id: newID("sg-"), vpc: v.id, name: "default", description: "default VPC security group"}
	g.rules = []rule{
		{id: newID("sgr-"), perm: perm{proto: "-1", from: -1, to: -1, group: g.id}},
		{id: newID("sgr-"), egress: true, perm: perm{proto: "-1", from: -1, to: -1, cidr: anywhere4()}},
	}
	r.groups.Put(g.id, g)
	return v
}

func anywhere4() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

// wire makes the VPC's network in the fabric if it is not there yet. Default
// VPCs get theirs when the first instance is launched in them.
func (c *call) wire(v *vpc) error {
	if v.wired {
		return nil
	}
	// Instances have an MTU of 9001 in a VPC, and 1500 on the way out. The
	// fabric's paths carry 1500, and so do its ports.
	if err := c.opts.Fabric.AddNetwork(c.ctx, fabric.Network{ID: v.id, CIDR: v.cidr}); err != nil {
		return err
	}
	v.wired = true
	return c.rewire(v.id)
}

// parseBlock reads a CIDR block of a VPC or subnet: private or not, but with
// no host bits and of a size that EC2 has.
func parseBlock(param, s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return p, fault(400, "InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", s, param)
	}
	return p.Masked(), nil
}

func createVpc(c *call) (any, error) {
	block, err := c.q.need("CidrBlock")
	if err != nil {
		return nil, err
	}
	cidr, err := parseBlock("cidrBlock", block)
	if err != nil {
		return nil, err
	}
	if cidr.Bits() < 16 || cidr.Bits() > 28 {
		return nil, fault(400, "InvalidVpc.Range", "The CIDR '%s' is invalid.", block)
	}
	tags, err := tagSpecs(c.q, "vpc")
	if err != nil {
		return nil, err
	}
	own := c.r.vpcs.Where(func(v *vpc) bool { return !v.isDefault })
	if max, ok := c.opts.Faults.Quota(Name, c.r.name, "network"); ok && len(own) >= max {
		return nil, fault(400, "VpcLimitExceeded", "The maximum number of VPCs has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	v := c.r.addVPC(cidr)
	if err := c.wire(v); err != nil {
		c.dropVPC(v)
		return nil, err
	}
	c.r.setTags(v.id, tags["vpc"])
	return struct {
		VPC xmlVPC `xml:"vpc"`
	}{c.r.xmlVPC(v)}, nil
}

// dropVPC removes a VPC and what it has from the start.
func (c *call) dropVPC(v *vpc) {
	for _, t := range c.r.tables.Where(func(t *routeTable) bool { return t.vpc == v.id }) {
		c.r.tables.Delete(t.id)
		c.r.forget(t.id)
	}
	for _, g := range c.r.groups.Where(func(g *group) bool { return g.vpc == v.id }) {
		c.r.groups.Delete(g.id)
		c.r.forget(g.id)
	}
	c.r.vpcs.Delete(v.id)
	c.r.forget(v.id)
}

func deleteVpc(c *call) (any, error) {
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	inUse := c.r.subnets.Any(func(s *subnet) bool { return s.vpc == v.id }) ||
		c.r.gateways.Any(func(g *gateway) bool { return g.vpc == v.id }) ||
		c.r.enis.Any(func(e *eni) bool { return e.vpc == v.id }) ||
		c.r.groups.Any(func(g *group) bool { return g.vpc == v.id && g.name != "default" }) ||
		c.r.tables.Any(func(t *routeTable) bool { return t.vpc == v.id && t.main == "" })
	if inUse {
		return nil, dependency("vpc", v.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	if v.wired {
		if err := c.opts.Fabric.RemoveNetwork(c.ctx, v.id); err != nil {
			return nil, err
		}
	}
	c.dropVPC(v)
	return done{true}, nil
}

type xmlVPC struct {
	ID      string                `xml:"vpcId"`
	OwnerID string                `xml:"ownerId"`
	State   string                `xml:"state"`
	CIDR    string                `xml:"cidrBlock"`
	Blocks  set[xmlCIDRAssociate] `xml:"cidrBlockAssociationSet"`
	IPv6    set[xmlCIDRAssociate] `xml:"ipv6CidrBlockAssociationSet"`
	DHCP    string                `xml:"dhcpOptionsId"`
	Tenancy string                `xml:"instanceTenancy"`
	Default bool                  `xml:"isDefault"`
	Tags    set[xmlTag]           `xml:"tagSet"`
}

type xmlCIDRAssociate struct {
	CIDR  string `xml:"cidrBlock"`
	ID    string `xml:"associationId"`
	State string `xml:"cidrBlockState>state"`
}

// xmlVPC prints a VPC.
func (r *region) xmlVPC(v *vpc) xmlVPC {
	return xmlVPC{
		ID: v.id, OwnerID: account, State: "available", CIDR: v.cidr.String(), DHCP: "dopt-0a1b2c3d", Tenancy: "default",
		Blocks:  set[xmlCIDRAssociate]{[]xmlCIDRAssociate{{v.cidr.String(), "vpc-cidr-assoc-" + v.id[4:], "associated"}}},
		Default: v.isDefault, Tags: r.xmlTags(v.id),
	}
}

func describeVpcs(c *call) (any, error) {
	rows, err := selected(c, &c.r.vpcs, selection[*vpc]{
		param: "VpcId", prefix: "vpc-",
		id: func(v *vpc) string { return v.id },
		attrs: func(v *vpc, f string) ([]string, bool) {
			return fields(map[string][]string{
				"vpc-id": {v.id}, "cidr": {v.cidr.String()}, "cidrBlock": {v.cidr.String()}, "cidr-block": {v.cidr.String()},
				"cidr-block-association.cidr-block": {v.cidr.String()}, "state": {"available"}, "owner-id": {account},
				"is-default": {yesNo(v.isDefault)}, "isDefault": {yesNo(v.isDefault)}, "dhcp-options-id": {"dopt-0a1b2c3d"},
			})(f)
		},
	})
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		VPCs set[xmlVPC] `xml:"vpcSet"`
		Next string      `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlVPC), next}, err
}

func modifyVpcAttribute(c *call) (any, error) {
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	hostnames, err := c.q.boolean("EnableDnsHostnames.Value", v.dnsHostnames)
	if err != nil {
		return nil, err
	}
	support, err := c.q.boolean("EnableDnsSupport.Value", !v.noDNS)
	if err != nil {
		return nil, err
	}
	v.dnsHostnames, v.noDNS = hostnames, !support
	return done{true}, nil
}

func describeVpcAttribute(c *call) (any, error) {
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	out := struct {
		ID        string       `xml:"vpcId"`
		Hostnames *value[bool] `xml:"enableDnsHostnames"`
		Support   *value[bool] `xml:"enableDnsSupport"`
	}{ID: v.id}
	switch attr := c.q.str("Attribute"); attr {
	case "enableDnsHostnames":
		out.Hostnames = &value[bool]{v.dnsHostnames}
	case "enableDnsSupport":
		out.Support = &value[bool]{!v.noDNS}
	default:
		return nil, invalid("Attribute", attr)
	}
	return out, nil
}
