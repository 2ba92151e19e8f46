package openstack

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// tenantMTU is the MTU of a tenant network: 1500 less what VXLAN takes.
const tenantMTU = 1450

// network is a network of the tenant, or the external one.
type network struct {
	base
	up           bool
	mtu          int
	external     bool
	portSecurity bool
}

// addExternal makes the network that routers and floating IPs lead out by.
func (c *Cloud) addExternal() {
	name, subnetName, none := "public", "public-subnet", ""
	n := &network{base: c.newBase(&name, &none), up: true, mtu: 1500, external: true, portSecurity: true}
	n.implicit = true
	c.networks.Put(n.id, n)
	c.external = n
	cidr := fabric.Internet()
	s := &subnet{base: c.newBase(&subnetName, &none), network: n.id, cidr: cidr, gateway: cidr.Addr().Next()}
	s.implicit = true
	c.subnets.Put(s.id, s)
}

// doc implements resource.
func (n *network) doc(c *Cloud) map[string]any {
	subnets := []string{}
	for _, s := range c.subnets.All() {
		if s.network == n.id {
			subnets = append(subnets, s.id)
		}
	}
	d := c.docOf(&n.base, map[string]any{
		"admin_state_up": n.up, "status": "ACTIVE", "subnets": subnets, "shared": false, "mtu": n.mtu,
		"router:external": n.external, "port_security_enabled": n.portSecurity, "is_default": n.external, "l2_adjacency": true,
		"availability_zone_hints": []string{}, "availability_zones": []string{Zone},
		"ipv4_address_scope": nil, "ipv6_address_scope": nil, "dns_domain": "", "qos_policy_id": nil,
	})
	if n.external {
		operator := "0123456789abcdef0123456789abcdef"
		d["tenant_id"], d["project_id"] = operator, operator
	}
	return d
}

// networkBody is what a client may say about a network.
type networkBody struct {
	Name         *string  `json:"name"`
	Description  *string  `json:"description"`
	Up           *bool    `json:"admin_state_up"`
	MTU          *int     `json:"mtu"`
	PortSecurity *bool    `json:"port_security_enabled"`
	Shared       *bool    `json:"shared"`
	External     *bool    `json:"router:external"`
	DNSDomain    *string  `json:"dns_domain"`
	Hints        []string `json:"availability_zone_hints"`
	Tenant       *string  `json:"tenant_id"`
	Project      *string  `json:"project_id"`
}

// readNetwork reads and checks a body.
func (c *call) readNetwork(rule string) (networkBody, error) {
	var body networkBody
	if err := c.neutronBody("network", &body); err != nil {
		return body, err
	}
	if or(body.Shared, false) || or(body.External, false) {
		return body, neutronFault(403, "HTTPForbidden", "rule:%s is disallowed by policy", rule)
	}
	if mtu := or(body.MTU, tenantMTU); mtu != 0 && (mtu < 68 || mtu > tenantMTU) {
		return body, neutronFault(400, "InvalidInput", "Invalid input for operation: Requested MTU is too big, maximum is %d.", tenantMTU)
	}
	return body, nil
}

func createNetwork(c *call) (answer, error) {
	body, err := c.readNetwork("create_network")
	if err != nil {
		return answer{}, err
	}
	if err := c.quota("network", "network", own(&c.networks)); err != nil {
		return answer{}, err
	}
	n := &network{
		base: c.newBase(body.Name, body.Description), up: or(body.Up, true), mtu: or(body.MTU, tenantMTU),
		portSecurity: or(body.PortSecurity, true),
	}
	if n.mtu == 0 {
		n.mtu = tenantMTU
	}
	c.networks.Put(n.id, n)
	return show(201, "network", n.doc(c.Cloud))
}

func listNetworks(c *call) (answer, error) { return list(c, "networks", &c.networks) }

func showNetwork(c *call) (answer, error) {
	n, err := find(&c.networks, "Network", c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "network", n.doc(c.Cloud))
}

func updateNetwork(c *call) (answer, error) {
	n, err := find(&c.networks, "Network", c.id())
	if err != nil {
		return answer{}, err
	}
	if err := foreign(&n.base, "update_network"); err != nil {
		return answer{}, err
	}
	body, err := c.readNetwork("update_network")
	if err != nil {
		return answer{}, err
	}
	set(&n.name, body.Name)
	set(&n.description, body.Description)
	set(&n.up, body.Up)
	set(&n.mtu, body.MTU)
	set(&n.portSecurity, body.PortSecurity)
	c.touch(&n.base)
	return show(200, "network", n.doc(c.Cloud))
}

func deleteNetwork(c *call) (answer, error) {
	n, err := find(&c.networks, "Network", c.id())
	if err != nil {
		return answer{}, err
	}
	if err := foreign(&n.base, "delete_network"); err != nil {
		return answer{}, err
	}
	for _, p := range c.ports.All() {
		if p.network == n.id {
			return answer{}, neutronFault(409, "NetworkInUse", "Unable to complete operation on network %s. There are one or more ports still in use on the network, id for these ports is %s.", n.id, p.id)
		}
	}
	for _, s := range c.subnets.All() {
		if s.network != n.id {
			continue
		}
		if err := c.dropSubnet(s); err != nil {
			return answer{}, err
		}
	}
	c.networks.Delete(n.id)
	return answer{status: 204}, nil
}

// subnetOf returns the subnet of a network that has an address.
func (c *Cloud) subnetOf(networkID string, ip netip.Addr) (*subnet, bool) {
	for _, s := range c.subnets.All() {
		if s.network == networkID && s.cidr.Contains(ip) {
			return s, true
		}
	}
	return nil, false
}
