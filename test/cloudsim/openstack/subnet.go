package openstack

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/netip"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// subnet is a range of addresses of a network, and a network of the fabric.
type subnet struct {
	base
	network    string
	cidr       netip.Prefix
	gateway    netip.Addr // zero = none
	pools      []pool
	dhcp       bool
	nameserver []string
	routes     []hostRoute
}

// pool is a range that addresses are given out from.
type pool struct {
	Start netip.Addr `json:"start"`
	End   netip.Addr `json:"end"`
}

// hostRoute is a route that a subnet's machines are told of.
type hostRoute struct {
	Destination string `json:"destination"`
	NextHop     string `json:"nexthop"`
}

// doc implements resource.
func (s *subnet) doc(c *Cloud) map[string]any {
	d := c.docOf(&s.base, map[string]any{
		"network_id": s.network, "ip_version": 4, "cidr": s.cidr.String(), "enable_dhcp": s.dhcp, "gateway_ip": nil,
		"allocation_pools": append([]pool{}, s.pools...), "dns_nameservers": append([]string{}, s.nameserver...),
		"host_routes": append([]hostRoute{}, s.routes...), "subnetpool_id": nil, "segment_id": nil, "service_types": []string{},
		"ipv6_address_mode": nil, "ipv6_ra_mode": nil, "dns_publish_fixed_ip": false,
	})
	if s.gateway.IsValid() {
		d["gateway_ip"] = s.gateway.String()
	}
	return d
}

// last returns the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// usable reports whether a port may have an address of the subnet.
func (s *subnet) usable(ip netip.Addr) bool {
	return s.cidr.Contains(ip) && ip != s.cidr.Addr() && ip != last(s.cidr)
}

// used returns the addresses that ports have in a subnet, by port.
func (c *Cloud) used(s *subnet) map[netip.Addr]string {
	used := map[netip.Addr]string{}
	for _, p := range c.ports.All() {
		if p.subnet == s.id {
			used[p.ip] = p.id
		}
	}
	return used
}

// free returns the lowest free address of a subnet's pools.
func (c *Cloud) free(s *subnet) (netip.Addr, bool) {
	used := c.used(s)
	for _, p := range s.pools {
		for ip := p.Start; ip.Compare(p.End) <= 0; ip = ip.Next() {
			if used[ip] == "" && ip != s.gateway {
				return ip, true
			}
		}
	}
	return netip.Addr{}, false
}

// subnetBody is what a client may say about a subnet.
type subnetBody struct {
	Network     *string         `json:"network_id"`
	Version     *int            `json:"ip_version"`
	CIDR        *string         `json:"cidr"`
	Gateway     json.RawMessage `json:"gateway_ip"` // null = none, absent = the first address
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	DHCP        *bool           `json:"enable_dhcp"`
	Nameservers *[]string       `json:"dns_nameservers"`
	Routes      *[]hostRoute    `json:"host_routes"`
	Pools       *[]pool         `json:"allocation_pools"`
	Tenant      *string         `json:"tenant_id"`
	Project     *string         `json:"project_id"`
}

func createSubnet(c *call) (answer, error) {
	var body subnetBody
	if err := c.neutronBody("subnet", &body); err != nil {
		return answer{}, err
	}
	n, err := find(&c.networks, "Network", or(body.Network, ""))
	if err != nil {
		return answer{}, err
	}
	if err := foreign(&n.base, "create_subnet"); err != nil {
		return answer{}, err
	}
	if or(body.Version, 4) != 4 {
		return answer{}, badInput("ip_version", "only IPv4 subnets are simulated.")
	}
	s := &subnet{base: c.newBase(body.Name, body.Description), network: n.id, dhcp: or(body.DHCP, true)}
	if s.cidr, err = netip.ParsePrefix(or(body.CIDR, "")); err != nil || !s.cidr.Addr().Is4() {
		return answer{}, badInput("cidr", "'%s' is not a valid IP subnet.", or(body.CIDR, ""))
	}
	if s.cidr != s.cidr.Masked() {
		return answer{}, badInput("cidr", "'%s' isn't a recognized IP subnet cidr, '%s' is recommended.", s.cidr, s.cidr.Masked())
	}
	if s.cidr.Bits() < 8 || s.cidr.Bits() > 30 {
		return answer{}, neutronFault(400, "InvalidInput", "Invalid input for operation: Invalid CIDR %s for IPv4.", s.cidr)
	}
	if err := s.layOut(body); err != nil {
		return answer{}, err
	}
	for _, o := range c.subnets.All() {
		if o.network == n.id && o.cidr.Overlaps(s.cidr) {
			return answer{}, neutronFault(400, "InvalidInput", "Invalid input for operation: Requested subnet with cidr: %s for network: %s overlaps with another subnet.", s.cidr, n.id)
		}
	}
	if err := c.quota("subnet", "subnet", own(&c.subnets)); err != nil {
		return answer{}, err
	}
	if err := c.opts.Fabric.AddNetwork(c.ctx, fabric.Network{ID: s.id, CIDR: s.cidr, MTU: n.mtu}); err != nil {
		return answer{}, err
	}
	c.subnets.Put(s.id, s)
	return show(201, "subnet", s.doc(c.Cloud))
}

// layOut reads the gateway, the pools and what machines are told.
func (s *subnet) layOut(body subnetBody) error {
	first := s.cidr.Addr().Next()
	switch {
	case body.Gateway == nil:
		s.gateway = first
	case !bytes.Equal(body.Gateway, []byte("null")):
		if err := json.Unmarshal(body.Gateway, &s.gateway); err != nil {
			return badInput("gateway_ip", "%s is not a valid IP address.", body.Gateway)
		}
		if s.gateway != first {
			return badInput("gateway_ip", "only the first address of a subnet, %s, is simulated as its gateway.", first)
		}
	}
	set(&s.nameserver, body.Nameservers)
	set(&s.routes, body.Routes)
	if body.Pools == nil {
		start := first
		if s.gateway == first {
			start = first.Next()
		}
		s.pools = []pool{{start, last(s.cidr).Prev()}}
		return nil
	}
	for _, p := range *body.Pools {
		if !s.usable(p.Start) || !s.usable(p.End) || p.Start.Compare(p.End) > 0 {
			return neutronFault(400, "OutOfBoundsAllocationPool", "The allocation pool %s-%s spans beyond the subnet cidr %s.", p.Start, p.End, s.cidr)
		}
		if s.gateway.IsValid() && p.Start.Compare(s.gateway) <= 0 && s.gateway.Compare(p.End) <= 0 {
			return neutronFault(409, "GatewayConflictWithAllocationPools", "Gateway ip %s conflicts with allocation pool %s-%s.", s.gateway, p.Start, p.End)
		}
	}
	s.pools = *body.Pools
	return nil
}

func listSubnets(c *call) (answer, error) { return list(c, "subnets", &c.subnets) }

func showSubnet(c *call) (answer, error) {
	s, err := find(&c.subnets, "Subnet", c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "subnet", s.doc(c.Cloud))
}

func updateSubnet(c *call) (answer, error) {
	s, err := find(&c.subnets, "Subnet", c.id())
	if err != nil {
		return answer{}, err
	}
	if err := foreign(&s.base, "update_subnet"); err != nil {
		return answer{}, err
	}
	var body subnetBody
	if err := c.neutronBody("subnet", &body); err != nil {
		return answer{}, err
	}
	if body.CIDR != nil || body.Network != nil || body.Version != nil || body.Gateway != nil || body.Pools != nil {
		return answer{}, neutronFault(400, "HTTPBadRequest", "Cannot update read-only attribute")
	}
	set(&s.name, body.Name)
	set(&s.description, body.Description)
	set(&s.dhcp, body.DHCP)
	set(&s.nameserver, body.Nameservers)
	set(&s.routes, body.Routes)
	c.touch(&s.base)
	return show(200, "subnet", s.doc(c.Cloud))
}

func deleteSubnet(c *call) (answer, error) {
	s, err := find(&c.subnets, "Subnet", c.id())
	if err != nil {
		return answer{}, err
	}
	if err := foreign(&s.base, "delete_subnet"); err != nil {
		return answer{}, err
	}
	if len(c.used(s)) > 0 {
		return answer{}, neutronFault(409, "SubnetInUse", "Unable to complete operation on subnet %s: One or more ports have an IP allocation from this subnet.", s.id)
	}
	if err := c.dropSubnet(s); err != nil {
		return answer{}, err
	}
	return answer{status: 204}, nil
}

// dropSubnet removes a subnet that no port uses.
func (c *call) dropSubnet(s *subnet) error {
	if err := c.opts.Fabric.RemoveNetwork(c.ctx, s.id); err != nil {
		return err
	}
	c.subnets.Delete(s.id)
	return nil
}
