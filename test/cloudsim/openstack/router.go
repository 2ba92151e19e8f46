package openstack

import (
	"bytes"
	"encoding/json"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// router joins subnets of the tenant to the external network.
type router struct {
	base
	up       bool
	external string // id of the external network, "" for none
	snat     bool
}

// gatewayInfo is how a router leads out.
type gatewayInfo struct {
	Network string    `json:"network_id"`
	SNAT    *bool     `json:"enable_snat,omitempty"`
	Fixed   []fixedIP `json:"external_fixed_ips"`
}

// doc implements resource.
func (r *router) doc(c *Cloud) map[string]any {
	d := c.docOf(&r.base, map[string]any{
		"admin_state_up": r.up, "status": "ACTIVE", "external_gateway_info": nil, "routes": []any{}, "flavor_id": nil,
		"availability_zones": []string{Zone}, "availability_zone_hints": []string{}, "distributed": false, "ha": false,
	})
	if r.external == "" {
		return d
	}
	info := gatewayInfo{Network: r.external, SNAT: &r.snat, Fixed: []fixedIP{}}
	// The fabric gives each subnet's way out an address of its own; the first
	// one stands for the router's.
	for _, p := range c.interfaces(r) {
		if ip := c.opts.Fabric.GatewayIP(p.subnet); ip.IsValid() && len(info.Fixed) == 0 {
			if s, ok := c.subnetOf(r.external, ip); ok {
				info.Fixed = append(info.Fixed, fixedIP{s.id, ip.String()})
			}
		}
	}
	d["external_gateway_info"] = info
	return d
}

// interfaces returns a router's ports.
func (c *Cloud) interfaces(r *router) []*port {
	return c.ports.Where(func(p *port) bool { return p.device == r.id && p.owner == ownerRouter })
}

// routerOf returns the router that a subnet's machines leave by.
func (c *Cloud) routerOf(subnetID string) (*router, bool) {
	for _, p := range c.ports.All() {
		if s, ok := c.subnets.Get(subnetID); ok && p.subnet == subnetID && p.owner == ownerRouter && p.ip == s.gateway {
			return c.routers.Get(p.device)
		}
	}
	return nil, false
}

// rewire makes the fabric's way out of a subnet follow its router.
func (c *call) rewire(subnetID string) error {
	var g fabric.Gateway
	if r, ok := c.routerOf(subnetID); ok && r.external != "" && r.up {
		g = fabric.Gateway{Attached: true, SNAT: r.snat}
	}
	return c.opts.Fabric.SetGateway(c.ctx, subnetID, g)
}

// routerBody is what a client may say about a router.
type routerBody struct {
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	Up          *bool           `json:"admin_state_up"`
	Gateway     json.RawMessage `json:"external_gateway_info"` // null = none
	HA          *bool           `json:"ha"`
	Distributed *bool           `json:"distributed"`
	Hints       []string        `json:"availability_zone_hints"`
	Routes      *[]hostRoute    `json:"routes"`
	Tenant      *string         `json:"tenant_id"`
	Project     *string         `json:"project_id"`
}

// setGateway reads how a router is to lead out.
func (c *call) setGateway(r *router, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	var info gatewayInfo
	if !bytes.Equal(raw, []byte("null")) {
		if err := json.Unmarshal(raw, &info); err != nil {
			return badInput("external_gateway_info", "'%s' is not what a gateway is told by.", raw)
		}
	}
	if info.Network != "" {
		n, err := find(&c.networks, "Network", info.Network)
		if err != nil {
			return err
		}
		if !n.external {
			return neutronFault(400, "BadRequest", "Bad router request: Network %s is not an external network.", n.id)
		}
	}
	if info.Network == "" && r.external != "" && c.floating.Any(func(f *floatingIP) bool { return f.router == r.id }) {
		return neutronFault(409, "RouterExternalGatewayInUseByFloatingIp", "Gateway cannot be updated for router %s, since a gateway to external network %s is required by one or more floating IPs.", r.id, r.external)
	}
	r.external, r.snat = info.Network, or(info.SNAT, true)
	for _, p := range c.interfaces(r) {
		if err := c.rewire(p.subnet); err != nil {
			return err
		}
	}
	return nil
}

func createRouter(c *call) (answer, error) {
	var body routerBody
	if err := c.neutronBody("router", &body); err != nil {
		return answer{}, err
	}
	if err := c.quota("router", "router", own(&c.routers)); err != nil {
		return answer{}, err
	}
	r := &router{base: c.newBase(body.Name, body.Description), up: or(body.Up, true)}
	if err := c.setGateway(r, body.Gateway); err != nil {
		return answer{}, err
	}
	c.routers.Put(r.id, r)
	return show(201, "router", r.doc(c.Cloud))
}

func listRouters(c *call) (answer, error) { return list(c, "routers", &c.routers) }

func showRouter(c *call) (answer, error) {
	r, err := find(&c.routers, "Router", c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "router", r.doc(c.Cloud))
}

func updateRouter(c *call) (answer, error) {
	r, err := find(&c.routers, "Router", c.id())
	if err != nil {
		return answer{}, err
	}
	var body routerBody
	if err := c.neutronBody("router", &body); err != nil {
		return answer{}, err
	}
	if body.Routes != nil && len(*body.Routes) > 0 {
		return answer{}, badInput("routes", "extra routes are not simulated.")
	}
	set(&r.up, body.Up)
	if err := c.setGateway(r, body.Gateway); err != nil {
		return answer{}, err
	}
	set(&r.name, body.Name)
	set(&r.description, body.Description)
	c.touch(&r.base)
	return show(200, "router", r.doc(c.Cloud))
}

func deleteRouter(c *call) (answer, error) {
	r, err := find(&c.routers, "Router", c.id())
	if err != nil {
		return answer{}, err
	}
	if len(c.interfaces(r)) > 0 {
		return answer{}, neutronFault(409, "RouterInUse", "Router %s still has ports", r.id)
	}
	c.routers.Delete(r.id)
	return answer{status: 204}, nil
}

// interfaceBody names what is to be joined to a router or parted from it.
type interfaceBody struct {
	Subnet *string `json:"subnet_id"`
	Port   *string `json:"port_id"`
}

// interfaceCall reads the router and the body of such a request.
func (c *call) interfaceCall() (*router, interfaceBody, error) {
	var body interfaceBody
	r, err := find(&c.routers, "Router", c.id())
	if err != nil {
		return nil, body, err
	}
	if err := strictJSON(c.body, &body); err != nil {
		return nil, body, neutronFault(400, "HTTPBadRequest", "The request body is not valid JSON: %v", err)
	}
	if (body.Subnet == nil) == (body.Port == nil) {
		return nil, body, neutronFault(400, "BadRequest", "Bad router request: Either subnet_id or port_id must be specified.")
	}
	return r, body, nil
}

// interfaceAnswer prints what was joined or parted.
func (c *call) interfaceAnswer(r *router, p *port) (answer, error) {
	return answer{status: 200, body: map[string]any{
		"id": r.id, "tenant_id": c.project, "project_id": c.project, "port_id": p.id, "network_id": p.network,
		"subnet_id": p.subnet, "subnet_ids": []string{p.subnet}, "tags": []string{},
	}}, nil
}

func addInterface(c *call) (answer, error) {
	r, body, err := c.interfaceCall()
	if err != nil {
		return answer{}, err
	}
	var p *port
	if body.Port != nil {
		if p, err = find(&c.ports, "Port", *body.Port); err != nil {
			return answer{}, err
		}
		if p.device != "" {
			return answer{}, neutronFault(409, "PortInUse", "Unable to complete operation on port %s for network %s. Port already has an attached device %s.", p.id, p.network, p.device)
		}
	}
	s, err := c.interfaceSubnet(r, body, p)
	if err != nil {
		return answer{}, err
	}
	if p == nil {
		none := ""
		p = &port{base: c.newBase(&none, &none), network: s.network, up: true, owner: ownerRouter}
		p.implicit = true
		if err := c.assign(p, []fixedIP{{s.id, s.gateway.String()}}); err != nil {
			return answer{}, err
		}
		if err := c.portMAC(p, ""); err != nil {
			return answer{}, err
		}
		c.ports.Put(p.id, p)
	}
	p.device, p.owner, p.groups = r.id, ownerRouter, nil
	c.touch(&p.base)
	if err := c.rewire(s.id); err != nil {
		return answer{}, err
	}
	return c.interfaceAnswer(r, p)
}

// interfaceSubnet checks that a subnet can be joined to a router.
func (c *call) interfaceSubnet(r *router, body interfaceBody, p *port) (*subnet, error) {
	id := or(body.Subnet, "")
	if p != nil {
		id = p.subnet
	}
	s, err := find(&c.subnets, "Subnet", id)
	if err != nil {
		return nil, err
	}
	if s.implicit || !s.gateway.IsValid() {
		return nil, neutronFault(400, "BadRequest", "Bad router request: Subnet for router interface must have a gateway IP.")
	}
	for _, o := range c.interfaces(r) {
		other, _ := c.subnets.Get(o.subnet)
		switch {
		case other == s:
			return nil, neutronFault(400, "BadRequest", "Bad router request: Router already has a port on subnet %s.", s.id)
		case other.cidr.Overlaps(s.cidr):
			return nil, neutronFault(400, "BadRequest", "Bad router request: Cidr %s of subnet %s overlaps with cidr %s of subnet %s.", s.cidr, s.id, other.cidr, other.id)
		}
	}
	return s, nil
}

func removeInterface(c *call) (answer, error) {
	r, body, err := c.interfaceCall()
	if err != nil {
		return answer{}, err
	}
	for _, p := range c.interfaces(r) {
		if p.id != or(body.Port, p.id) || p.subnet != or(body.Subnet, p.subnet) {
			continue
		}
		if c.floating.Any(func(f *floatingIP) bool {
			q, ok := c.ports.Get(f.port)
			return ok && f.router == r.id && q.subnet == p.subnet
		}) {
			return answer{}, neutronFault(409, "RouterInterfaceInUseByFloatingIP", "Router interface for subnet %s on router %s cannot be deleted, as it is required by one or more floating IPs.", p.subnet, r.id)
		}
		c.ports.Delete(p.id)
		if err := c.rewire(p.subnet); err != nil {
			return answer{}, err
		}
		return c.interfaceAnswer(r, p)
	}
	if body.Port != nil {
		return answer{}, neutronFault(404, "RouterInterfaceNotFound", "Router %s does not have an interface with id %s", r.id, *body.Port)
	}
	return answer{}, neutronFault(404, "RouterInterfaceNotFoundForSubnet", "Router %s has no interface on subnet %s", r.id, *body.Subnet)
}
