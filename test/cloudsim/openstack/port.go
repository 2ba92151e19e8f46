package openstack

import (
	"crypto/rand"
	"net"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// Owners of ports.
const (
	ownerCompute = "compute:" + Zone
	ownerRouter  = "network:router_interface"
)

// port is a connection to a network, with one address.
type port struct {
	base
	network  string
	subnet   string
	ip       netip.Addr
	mac      net.HardwareAddr
	up       bool
	groups   []string
	open     bool // port security is off
	pairs    []addressPair
	device   string // id of a server or router, or what a client says
	owner    string
	byNova   bool // made by Nova for a server, and gone with it
	enforced bool // the fabric has rules
	rules    []fabric.Rule
}

// fixedIP is an address of a port.
type fixedIP struct {
	Subnet  string `json:"subnet_id"`
	Address string `json:"ip_address"`
}

// addressPair is another address that a port may send from.
type addressPair struct {
	IP  string `json:"ip_address"`
	MAC string `json:"mac_address,omitempty"`
}

// doc implements resource.
func (p *port) doc(c *Cloud) map[string]any {
	fixed := []fixedIP{}
	if p.ip.IsValid() {
		fixed = append(fixed, fixedIP{p.subnet, p.ip.String()})
	}
	status := "DOWN"
	if s, ok := c.servers.Get(p.device); p.owner == ownerRouter || ok && s.status == statusActive {
		status = "ACTIVE"
	}
	return c.docOf(&p.base, map[string]any{
		"network_id": p.network, "mac_address": p.mac.String(), "admin_state_up": p.up, "status": status,
		"device_id": p.device, "device_owner": p.owner, "fixed_ips": fixed, "security_groups": append([]string{}, p.groups...),
		"port_security_enabled": !p.open, "allowed_address_pairs": append([]addressPair{}, p.pairs...), "extra_dhcp_opts": []string{},
		"binding:vnic_type": "normal", "dns_name": "", "dns_assignment": []string{}, "qos_policy_id": nil, "propagate_uplink_status": true,
	})
}

// portBody is what a client may say about a port.
type portBody struct {
	Network      *string        `json:"network_id"`
	Name         *string        `json:"name"`
	Description  *string        `json:"description"`
	Up           *bool          `json:"admin_state_up"`
	Fixed        *[]fixedIP     `json:"fixed_ips"`
	Groups       *[]string      `json:"security_groups"`
	Pairs        *[]addressPair `json:"allowed_address_pairs"`
	PortSecurity *bool          `json:"port_security_enabled"`
	MAC          *string        `json:"mac_address"`
	Device       *string        `json:"device_id"`
	Owner        *string        `json:"device_owner"`
	Vnic         *string        `json:"binding:vnic_type"`
	DNSName      *string        `json:"dns_name"`
	Tags         *[]string      `json:"tags"`
	Tenant       *string        `json:"tenant_id"`
	Project      *string        `json:"project_id"`
}

func createPort(c *call) (answer, error) {
	var body portBody
	if err := c.neutronBody("port", &body); err != nil {
		return answer{}, err
	}
	p, err := c.newPort(body)
	if err != nil {
		return answer{}, err
	}
	return show(201, "port", p.doc(c.Cloud))
}

// newPort makes a port.
func (c *call) newPort(body portBody) (*port, error) {
	n, err := find(&c.networks, "Network", or(body.Network, ""))
	if err != nil {
		return nil, err
	}
	if n.external {
		return nil, neutronFault(403, "HTTPForbidden", "rule:create_port is disallowed by policy")
	}
	if err := c.quota("port", "port", own(&c.ports)); err != nil {
		return nil, err
	}
	p := &port{
		base: c.newBase(body.Name, body.Description), network: n.id, up: or(body.Up, true), open: !or(body.PortSecurity, n.portSecurity),
		device: or(body.Device, ""), owner: or(body.Owner, ""), pairs: or(body.Pairs, nil),
	}
	p.tags = or(body.Tags, nil)
	if err := c.assign(p, or(body.Fixed, nil)); err != nil {
		return nil, err
	}
	if err := c.portMAC(p, or(body.MAC, "")); err != nil {
		return nil, err
	}
	if body.Groups == nil && !p.open {
		p.groups = []string{c.defaultSG.id}
	}
	if err := c.joinGroups(p, body.Groups); err != nil {
		return nil, err
	}
	c.ports.Put(p.id, p)
	return p, c.enforce()
}

// assign gives a port the address that it asks for, or a free one.
func (c *call) assign(p *port, fixed []fixedIP) error {
	if len(fixed) > 1 {
		return badInput("fixed_ips", "only one address of a port is simulated.")
	}
	if len(fixed) == 0 || fixed[0].Address == "" {
		return c.assignFree(p, fixed)
	}
	ip, err := netip.ParseAddr(fixed[0].Address)
	if err != nil {
		return badInput("fixed_ips", "'%s' is not a valid IP address.", fixed[0].Address)
	}
	s, ok := c.subnetOf(p.network, ip)
	if want := fixed[0].Subnet; want != "" {
		if s, err = find(&c.subnets, "Subnet", want); err != nil {
			return err
		}
		if s.network != p.network {
			return neutronFault(400, "InvalidInput", "Invalid input for operation: Failed to create port on network %s, because fixed_ips included invalid subnet %s.", p.network, s.id)
		}
	} else if !ok {
		return neutronFault(400, "InvalidIpForNetwork", "IP address %s is not a valid IP for any of the subnets on the specified network.", ip)
	}
	if !s.usable(ip) {
		return neutronFault(400, "InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", ip)
	}
	if holder := c.used(s)[ip]; holder != "" && holder != p.id || ip == s.gateway && p.owner != ownerRouter {
		return neutronFault(409, "IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", ip, s.id)
	}
	p.subnet, p.ip = s.id, ip
	return nil
}

// assignFree gives a port an address of the wanted subnet or of any.
func (c *call) assignFree(p *port, fixed []fixedIP) error {
	some := false
	for _, s := range c.subnets.All() {
		if s.network != p.network || len(fixed) > 0 && fixed[0].Subnet != "" && fixed[0].Subnet != s.id {
			continue
		}
		some = true
		if ip, ok := c.free(s); ok {
			p.subnet, p.ip = s.id, ip
			return nil
		}
	}
	switch {
	case some:
		return neutronFault(409, "IpAddressGenerationFailure", "No more IP addresses available on network %s.", p.network)
	case len(fixed) > 0:
		return neutronMissing("Subnet", fixed[0].Subnet)
	}
	return nil // a network without subnets has ports without addresses
}

// portMAC gives a port its hardware address.
func (c *call) portMAC(p *port, text string) error {
	if text == "" {
		p.mac = net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 0}
		_, _ = rand.Read(p.mac[3:]) // never fails
		return nil
	}
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return badInput("mac_address", "'%s' is not a valid MAC address.", text)
	}
	if c.ports.Any(func(o *port) bool { return o.network == p.network && o.mac.String() == mac.String() }) {
		return neutronFault(409, "MacAddressInUse", "Unable to complete operation for network %s. The mac address %s is in use.", p.network, mac)
	}
	p.mac = mac
	return nil
}

// joinGroups puts a port into security groups, nil leaves it as it is.
func (c *call) joinGroups(p *port, ids *[]string) error {
	if ids == nil {
		return nil
	}
	if p.open && len(*ids) > 0 {
		return neutronFault(409, "PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	for _, id := range *ids {
		if _, err := find(&c.groups, "SecurityGroup", id); err != nil {
			return neutronFault(404, "SecurityGroupNotFound", "Security group %s does not exist", id)
		}
	}
	p.groups = slices.Clone(*ids)
	return nil
}

func listPorts(c *call) (answer, error) { return list(c, "ports", &c.ports) }

func showPort(c *call) (answer, error) {
	p, err := find(&c.ports, "Port", c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "port", p.doc(c.Cloud))
}

func updatePort(c *call) (answer, error) {
	p, err := find(&c.ports, "Port", c.id())
	if err != nil {
		return answer{}, err
	}
	var body portBody
	if err := c.neutronBody("port", &body); err != nil {
		return answer{}, err
	}
	if body.Network != nil || body.Tags != nil || body.MAC != nil {
		return answer{}, neutronFault(400, "HTTPBadRequest", "Cannot update read-only attribute")
	}
	if body.Fixed != nil && p.device != "" {
		return answer{}, badInput("fixed_ips", "the address of a port in use does not change here.")
	}
	wasOpen := p.open
	set(&p.open, invert(body.PortSecurity))
	if p.open && !wasOpen && body.Groups == nil && len(p.groups) > 0 {
		p.open = wasOpen
		return answer{}, neutronFault(409, "PortSecurityPortHasSecurityGroup", "Port has security group associated. Cannot disable port security or IP address until security group is removed.")
	}
	if err := c.joinGroups(p, body.Groups); err != nil {
		p.open = wasOpen
		return answer{}, err
	}
	if body.Fixed != nil {
		if p.enforced { // the rules of the old address go
			if err := c.opts.Fabric.SetFirewall(c.ctx, p.subnet, p.ip, nil); err != nil {
				return answer{}, err
			}
			p.enforced = false
		}
		if err := c.assign(p, *body.Fixed); err != nil {
			return answer{}, err
		}
	}
	set(&p.name, body.Name)
	set(&p.description, body.Description)
	set(&p.up, body.Up)
	set(&p.pairs, body.Pairs)
	set(&p.device, body.Device)
	set(&p.owner, body.Owner)
	c.touch(&p.base)
	if err := c.enforce(); err != nil {
		return answer{}, err
	}
	return show(200, "port", p.doc(c.Cloud))
}

// invert returns the opposite of a flag that was sent.
func invert(b *bool) *bool {
	if b == nil {
		return nil
	}
	n := !*b
	return &n
}

func deletePort(c *call) (answer, error) {
	p, err := find(&c.ports, "Port", c.id())
	if err != nil {
		return answer{}, err
	}
	if p.owner == ownerRouter {
		return answer{}, neutronFault(409, "ServicePortInUse", "Port %s cannot be deleted directly via the port API: has device owner %s.", p.id, p.owner)
	}
	if err := c.dropPort(p); err != nil {
		return answer{}, err
	}
	return answer{status: 204}, nil
}

// dropPort removes a port; a floating IP on it stays, without a port.
func (c *call) dropPort(p *port) error {
	for _, f := range c.floating.All() {
		if f.port == p.id {
			if err := c.detach(f); err != nil {
				return err
			}
		}
	}
	if p.enforced {
		if err := c.opts.Fabric.SetFirewall(c.ctx, p.subnet, p.ip, nil); err != nil {
			return err
		}
	}
	c.ports.Delete(p.id)
	return c.enforce()
}
