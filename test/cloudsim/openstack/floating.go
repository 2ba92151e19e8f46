package openstack

import (
	"net/netip"
)

// floatingIP is a public address that leads to a port, or to none.
type floatingIP struct {
	base
	ip     netip.Addr
	port   string // "" = none
	fixed  netip.Addr
	router string
}

// doc implements resource.
func (f *floatingIP) doc(c *Cloud) map[string]any {
	d := c.docOf(&f.base, map[string]any{
		"floating_ip_address": f.ip.String(), "floating_network_id": c.external.id, "status": "DOWN", "port_id": nil,
		"fixed_ip_address": nil, "router_id": nil, "port_details": nil, "dns_name": "", "dns_domain": "", "qos_policy_id": nil,
		"port_forwardings": []any{},
	})
	delete(d, "name")
	if p, ok := c.ports.Get(f.port); ok {
		d["status"], d["port_id"], d["fixed_ip_address"], d["router_id"] = "ACTIVE", p.id, f.fixed.String(), f.router
		d["port_details"] = map[string]any{
			"name": p.name, "network_id": p.network, "mac_address": p.mac.String(), "admin_state_up": p.up, "status": "ACTIVE",
			"device_id": p.device, "device_owner": p.owner,
		}
	}
	return d
}

// floatingBody is what a client may say about a floating IP.
type floatingBody struct {
	Network     *string `json:"floating_network_id"`
	Subnet      *string `json:"subnet_id"`
	Address     *string `json:"floating_ip_address"`
	Port        *string `json:"port_id"`
	Fixed       *string `json:"fixed_ip_address"`
	Description *string `json:"description"`
	Tenant      *string `json:"tenant_id"`
	Project     *string `json:"project_id"`
}

func createFloating(c *call) (answer, error) {
	var body floatingBody
	if err := c.neutronBody("floatingip", &body); err != nil {
		return answer{}, err
	}
	n, err := find(&c.networks, "Network", or(body.Network, ""))
	if err != nil {
		return answer{}, err
	}
	if !n.external {
		return answer{}, neutronFault(400, "BadRequest", "Bad floatingip request: Network %s is not a valid external network.", n.id)
	}
	if or(body.Address, "") != "" {
		return answer{}, neutronFault(403, "HTTPForbidden", "rule:create_floatingip:floating_ip_address is disallowed by policy")
	}
	if err := c.quota("publicIp", "floatingip", own(&c.floating)); err != nil {
		return answer{}, err
	}
	f := &floatingIP{base: c.newBase(nil, body.Description)}
	if body.Port != nil { // look before an address is taken
		if _, _, err := c.reach(f, *body.Port, or(body.Fixed, "")); err != nil {
			return answer{}, err
		}
	}
	if f.ip, err = c.opts.Fabric.AllocatePublic(c.ctx); err != nil {
		return answer{}, neutronFault(409, "IpAddressGenerationFailure", "No more IP addresses available on network %s.", n.id)
	}
	c.floating.Put(f.id, f)
	if body.Port != nil {
		if err := c.attach(f, *body.Port, or(body.Fixed, "")); err != nil {
			return answer{}, err
		}
	}
	return show(201, "floatingip", f.doc(c.Cloud))
}

// reach returns the port and the router by which a floating IP can lead to it.
func (c *call) reach(f *floatingIP, portID, fixed string) (*port, *router, error) {
	p, err := find(&c.ports, "Port", portID)
	if err != nil {
		return nil, nil, err
	}
	if !p.ip.IsValid() || fixed != "" && fixed != p.ip.String() {
		return nil, nil, neutronFault(400, "BadRequest", "Bad floatingip request: Port %s does not have fixed ip %s.", p.id, fixed)
	}
	r, ok := c.routerOf(p.subnet)
	if !ok || r.external == "" {
		return nil, nil, neutronFault(404, "ExternalGatewayForFloatingIPNotFound", "External network %s is not reachable from subnet %s.  Therefore, cannot associate Port %s with a Floating IP.", c.external.id, p.subnet, p.id)
	}
	for _, o := range c.floating.All() {
		if o != f && o.port == p.id {
			return nil, nil, neutronFault(409, "FloatingIPPortAlreadyAssociated", "Cannot associate floating IP %s (%s) with port %s using fixed IP %s, as that fixed IP already has a floating IP on external network %s.", f.ip, f.id, p.id, p.ip, c.external.id)
		}
	}
	return p, r, nil
}

// attach makes a floating IP lead to a port.
func (c *call) attach(f *floatingIP, portID, fixed string) error {
	p, r, err := c.reach(f, portID, fixed)
	if err != nil || f.port == p.id {
		return err
	}
	if err := c.detach(f); err != nil {
		return err
	}
	if err := c.opts.Fabric.MapPublic(c.ctx, f.ip, p.subnet, p.ip); err != nil {
		return err
	}
	f.port, f.fixed, f.router = p.id, p.ip, r.id
	return nil
}

// detach makes a floating IP lead nowhere.
func (c *call) detach(f *floatingIP) error {
	if f.port == "" {
		return nil
	}
	if err := c.opts.Fabric.UnmapPublic(c.ctx, f.ip); err != nil {
		return err
	}
	f.port, f.fixed, f.router = "", netip.Addr{}, ""
	return nil
}

func listFloating(c *call) (answer, error) { return list(c, "floatingips", &c.floating) }

// floatingOf returns the floating IP that the request's path names.
func (c *call) floatingOf() (*floatingIP, error) {
	f, ok := c.floating.Get(c.id())
	if !ok {
		return nil, neutronFault(404, "FloatingIPNotFound", "Floating IP %s could not be found", c.id())
	}
	return f, nil
}

func showFloating(c *call) (answer, error) {
	f, err := c.floatingOf()
	if err != nil {
		return answer{}, err
	}
	return show(200, "floatingip", f.doc(c.Cloud))
}

func updateFloating(c *call) (answer, error) {
	f, err := c.floatingOf()
	if err != nil {
		return answer{}, err
	}
	// A port_id of null, or none at all where none is changed, parts it.
	body := struct {
		Port        *string `json:"port_id"`
		Fixed       *string `json:"fixed_ip_address"`
		Description *string `json:"description"`
	}{}
	if err := c.neutronBody("floatingip", &body); err != nil {
		return answer{}, err
	}
	if or(body.Port, "") != "" {
		err = c.attach(f, *body.Port, or(body.Fixed, ""))
	} else if body.Description == nil {
		err = c.detach(f)
	}
	if err != nil {
		return answer{}, err
	}
	set(&f.description, body.Description)
	c.touch(&f.base)
	return show(200, "floatingip", f.doc(c.Cloud))
}

func deleteFloating(c *call) (answer, error) {
	f, err := c.floatingOf()
	if err != nil {
		return answer{}, err
	}
	if err := c.detach(f); err != nil {
		return answer{}, err
	}
	if err := c.opts.Fabric.ReleasePublic(f.ip); err != nil {
		return answer{}, err
	}
	c.floating.Delete(f.id)
	return answer{status: 204}, nil
}
