package aws

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// subnet is a part of a VPC in one zone.
type subnet struct {
	id        string
	vpc       string
	cidr      netip.Prefix
	zone      string
	isDefault bool
	mapPublic bool
	names     nameOptions
}

// nameOptions are how instances of a subnet are called in its DNS; they are
// kept and have no effect.
type nameOptions struct {
	HostnameType string `xml:"hostnameType"`
	A            bool   `xml:"enableResourceNameDnsARecord"`
	AAAA         bool   `xml:"enableResourceNameDnsAAAARecord"`
}

// reserved are the addresses at the start of a subnet that EC2 keeps: the
// network, the router, the DNS server and one for later. The last is kept too.
const reserved = 4

// offset returns the place of an address in the subnet.
func (s *subnet) offset(a netip.Addr) int {
	base, b := s.cidr.Addr().As4(), a.As4()
	return int(binary.BigEndian.Uint32(b[:]) - binary.BigEndian.Uint32(base[:]))
}

// address returns the address at a place in the subnet.
func (s *subnet) address(offset int) netip.Addr {
	base := s.cidr.Addr().As4()
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(base[:])+uint32(offset))
	return netip.AddrFrom4(a)
}

// size returns the number of addresses in the subnet.
func (s *subnet) size() int { return 1 << (32 - s.cidr.Bits()) }

// usable reports whether instances may have an address of the subnet.
func (s *subnet) usable(a netip.Addr) bool {
	if !a.Is4() || !s.cidr.Contains(a) {
		return false
	}
	n := s.offset(a)
	return n >= reserved && n < s.size()-1
}

// used returns the addresses in use in a subnet.
func (r *region) used(s *subnet) map[netip.Addr]bool {
	used := map[netip.Addr]bool{}
	for _, e := range r.enis.All() {
		if e.subnet == s.id {
			used[e.ip] = true
		}
	}
	return used
}

// free returns the lowest free address of a subnet.
func (r *region) free(s *subnet) (netip.Addr, error) {
	used := r.used(s)
	for n := reserved; n < s.size()-1; n++ {
		if a := s.address(n); !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fault(400, "InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses to satisfy the request.")
}

func createSubnet(c *call) (any, error) {
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	block, err := c.q.need("CidrBlock")
	if err != nil {
		return nil, err
	}
	cidr, err := parseBlock("cidrBlock", block)
	if err != nil {
		return nil, err
	}
	if !v.cidr.Contains(cidr.Addr()) || cidr.Bits() < v.cidr.Bits() || cidr.Bits() > 28 {
		return nil, fault(400, "InvalidSubnet.Range", "The CIDR '%s' is invalid.", block)
	}
	if c.r.subnets.Any(func(s *subnet) bool { return s.vpc == v.id && s.cidr.Overlaps(cidr) }) {
		return nil, fault(400, "InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", block)
	}
	zone, err := c.zoneOf("AvailabilityZone", "AvailabilityZoneId")
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecs(c.q, "subnet")
	if err != nil {
		return nil, err
	}
	if max, ok := c.opts.Faults.Quota(Name, c.r.name, "subnet"); ok && len(c.r.subnets.Where(func(s *subnet) bool { return !s.isDefault })) >= max {
		return nil, fault(400, "SubnetLimitExceeded", "The maximum number of subnets has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	if zone == "" {
		zone = c.r.zones[0]
	}
	s := &subnet{id: newID("subnet-"), vpc: v.id, cidr: cidr, zone: zone}
	c.r.subnets.Put(s.id, s)
	c.r.setTags(s.id, tags["subnet"])
	return struct {
		Subnet xmlSubnet `xml:"subnet"`
	}{c.r.xmlSubnet(s)}, nil
}

func deleteSubnet(c *call) (any, error) {
	s, err := findParam(c, &c.r.subnets, "subnet-", "SubnetId")
	if err != nil {
		return nil, err
	}
	if c.r.enis.Any(func(e *eni) bool { return e.subnet == s.id }) {
		return nil, dependency("subnet", s.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	for _, t := range c.r.tables.All() {
		t.leave(s.id)
	}
	c.r.subnets.Delete(s.id)
	c.r.forget(s.id)
	return done{true}, nil
}

func modifySubnetAttribute(c *call) (any, error) {
	s, err := findParam(c, &c.r.subnets, "subnet-", "SubnetId")
	if err != nil {
		return nil, err
	}
	on, err := c.q.boolean("MapPublicIpOnLaunch.Value", s.mapPublic)
	if err != nil {
		return nil, err
	}
	names := s.names
	if names.A, err = c.q.boolean("EnableResourceNameDnsARecordOnLaunch.Value", names.A); err != nil {
		return nil, err
	}
	if names.AAAA, err = c.q.boolean("EnableResourceNameDnsAAAARecordOnLaunch.Value", names.AAAA); err != nil {
		return nil, err
	}
	if v := c.q.str("PrivateDnsHostnameTypeOnLaunch"); v != "" {
		if v != "ip-name" && v != "resource-name" {
			return nil, invalid("PrivateDnsHostnameTypeOnLaunch", v)
		}
		names.HostnameType = v
	}
	s.mapPublic, s.names = on, names
	return done{true}, nil
}

type xmlSubnet struct {
	ID        string                `xml:"subnetId"`
	ARN       string                `xml:"subnetArn"`
	State     string                `xml:"state"`
	OwnerID   string                `xml:"ownerId"`
	VPC       string                `xml:"vpcId"`
	CIDR      string                `xml:"cidrBlock"`
	IPv6      set[xmlCIDRAssociate] `xml:"ipv6CidrBlockAssociationSet"`
	Free      int                   `xml:"availableIpAddressCount"`
	Zone      string                `xml:"availabilityZone"`
	ZoneID    string                `xml:"availabilityZoneId"`
	Default   bool                  `xml:"defaultForAz"`
	MapPublic bool                  `xml:"mapPublicIpOnLaunch"`
	AssignV6  bool                  `xml:"assignIpv6AddressOnCreation"`
	Names     nameOptions           `xml:"privateDnsNameOptionsOnLaunch"`
	Tags      set[xmlTag]           `xml:"tagSet"`
}

// xmlSubnet prints a subnet.
func (r *region) xmlSubnet(s *subnet) xmlSubnet {
	names := s.names
	names.HostnameType = cmp.Or(names.HostnameType, "ip-name")
	return xmlSubnet{
		ID: s.id, ARN: "arn:aws:ec2:" + r.name + ":" + account + ":subnet/" + s.id, State: "available", OwnerID: account,
		VPC: s.vpc, CIDR: s.cidr.String(), Free: s.size() - reserved - 1 - len(r.used(s)), Zone: s.zone,
		ZoneID: zoneID(r.name, s.zone), Default: s.isDefault, MapPublic: s.mapPublic, Names: names, Tags: r.xmlTags(s.id),
	}
}

func describeSubnets(c *call) (any, error) {
	rows, err := selected(c, &c.r.subnets, selection[*subnet]{
		param: "SubnetId", prefix: "subnet-",
		id: func(s *subnet) string { return s.id },
		attrs: func(s *subnet, f string) ([]string, bool) {
			return fields(map[string][]string{
				"subnet-id": {s.id}, "vpc-id": {s.vpc}, "cidr": {s.cidr.String()}, "cidrBlock": {s.cidr.String()},
				"cidr-block": {s.cidr.String()}, "availability-zone": {s.zone}, "availabilityZone": {s.zone},
				"availability-zone-id": {zoneID(c.r.name, s.zone)}, "state": {"available"}, "owner-id": {account},
				"default-for-az": {yesNo(s.isDefault)}, "defaultForAz": {yesNo(s.isDefault)},
				"map-public-ip-on-launch": {yesNo(s.mapPublic)}, "available-ip-address-count": {itoa(c.r.xmlSubnet(s).Free)},
			})(f)
		},
	})
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Subnets set[xmlSubnet] `xml:"subnetSet"`
		Next    string         `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlSubnet), next}, err
}
