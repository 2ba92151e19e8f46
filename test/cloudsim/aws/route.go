package aws

import (
	"net/netip"
	"slices"
)

// routeTable is a route table of a VPC.
type routeTable struct {
	id      string
	vpc     string
	main    string // id of the association that makes it the main one, "" if it is not
	routes  []route
	subnets []association
}

// association ties a subnet to a route table.
type association struct {
	id     string
	subnet string
}

// route is an entry of a route table.
type route struct {
	to      netip.Prefix
	gateway string
	local   bool
}

// leave ends a subnet's association.
func (t *routeTable) leave(subnet string) {
	t.subnets = slices.DeleteFunc(t.subnets, func(a association) bool { return a.subnet == subnet })
}

// find returns the place of the route to a prefix, -1 if there is none.
func (t *routeTable) find(to netip.Prefix) int {
	return slices.IndexFunc(t.routes, func(r route) bool { return r.to == to })
}

// mainTable returns the route table of the subnets that have none of their own.
func (r *region) mainTable(vpc string) *routeTable {
	return r.tables.Where(func(t *routeTable) bool { return t.vpc == vpc && t.main != "" })[0]
}

// tableOf returns the route table that a subnet uses.
func (r *region) tableOf(s *subnet) *routeTable {
	for _, t := range r.tables.All() {
		if slices.ContainsFunc(t.subnets, func(a association) bool { return a.subnet == s.id }) {
			return t
		}
	}
	return r.mainTable(s.vpc)
}

// leadsOut reports whether a subnet's default route ends at an internet gateway
// that is attached.
func (r *region) leadsOut(s *subnet) bool {
	t := r.tableOf(s)
	i := t.find(anywhere4())
	if i < 0 {
		return false
	}
	g, ok := r.gateways.Get(t.routes[i].gateway)
	return ok && g.vpc == s.vpc
}

func createRouteTable(c *call) (any, error) {
	v, err := findParam(c, &c.r.vpcs, "vpc-", "VpcId")
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecs(c.q, "route-table")
	if err != nil {
		return nil, err
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t := &routeTable{id: newID("rtb-"), vpc: v.id, routes: []route{{to: v.cidr, local: true}}}
	c.r.tables.Put(t.id, t)
	c.r.setTags(t.id, tags["route-table"])
	return struct {
		Table xmlRouteTable `xml:"routeTable"`
	}{c.r.xmlRouteTable(t)}, nil
}

func deleteRouteTable(c *call) (any, error) {
	t, err := findParam(c, &c.r.tables, "rtb-", "RouteTableId")
	if err != nil {
		return nil, err
	}
	if t.main != "" || len(t.subnets) > 0 {
		return nil, dependency("routeTable", t.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	c.r.tables.Delete(t.id)
	c.r.forget(t.id)
	return done{true}, nil
}

// destination reads the table, prefix and target of a route call.
func (c *call) destination() (*routeTable, netip.Prefix, error) {
	t, err := findParam(c, &c.r.tables, "rtb-", "RouteTableId")
	if err != nil {
		return nil, netip.Prefix{}, err
	}
	to, err := c.q.need("DestinationCidrBlock")
	if err != nil {
		return nil, netip.Prefix{}, err
	}
	p, err := parseBlock("destinationCidrBlock", to)
	return t, p, err
}

// target reads the internet gateway that a route leads to.
func (c *call) target(t *routeTable) (string, error) {
	id, err := c.q.need("GatewayId")
	if err != nil {
		return "", err
	}
	g, err := find(&c.r.gateways, "igw-", id)
	if err != nil {
		return "", fault(400, "InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", id)
	}
	if g.vpc != t.vpc {
		return "", fault(400, "InvalidParameterValue", "route table %s and network gateway %s belong to different networks", t.id, g.id)
	}
	return g.id, nil
}

func createRoute(c *call) (any, error) {
	t, to, err := c.destination()
	if err != nil {
		return nil, err
	}
	gw, err := c.target(t)
	if err != nil {
		return nil, err
	}
	if i := t.find(to); i >= 0 && t.routes[i].gateway != gw {
		return nil, fault(400, "RouteAlreadyExists", "The route identified by %s already exists.", to)
	} else if i >= 0 {
		return done{true}, nil // the very same route again is no error
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.routes = append(t.routes, route{to: to, gateway: gw})
	return done{true}, c.rewire(t.vpc)
}

func replaceRoute(c *call) (any, error) {
	t, to, err := c.destination()
	if err != nil {
		return nil, err
	}
	gw, err := c.target(t)
	if err != nil {
		return nil, err
	}
	i := t.find(to)
	if i < 0 || t.routes[i].local {
		return nil, fault(400, "InvalidParameterValue", "There is no route defined for '%s' in the route table. Use CreateRoute instead.", to)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.routes[i].gateway = gw
	return done{true}, c.rewire(t.vpc)
}

func deleteRoute(c *call) (any, error) {
	t, to, err := c.destination()
	if err != nil {
		return nil, err
	}
	i := t.find(to)
	switch {
	case i < 0:
		return nil, fault(400, "InvalidRoute.NotFound", "no route with destination-cidr-block %s in route table %s", to, t.id)
	case t.routes[i].local:
		return nil, fault(400, "InvalidParameterValue", "cannot remove local route %s in route table %s", to, t.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.routes = slices.Delete(t.routes, i, i+1)
	return done{true}, c.rewire(t.vpc)
}

func associateRouteTable(c *call) (any, error) {
	t, err := findParam(c, &c.r.tables, "rtb-", "RouteTableId")
	if err != nil {
		return nil, err
	}
	s, err := findParam(c, &c.r.subnets, "subnet-", "SubnetId")
	if err != nil {
		return nil, err
	}
	if s.vpc != t.vpc {
		return nil, fault(400, "InvalidParameterValue", "Route table %s and subnet %s belong to different networks", t.id, s.id)
	}
	if old := c.r.tableOf(s); old != t && slices.ContainsFunc(old.subnets, func(a association) bool { return a.subnet == s.id }) {
		return nil, fault(400, "Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	t.leave(s.id)
	a := association{newID("rtbassoc-"), s.id}
	t.subnets = append(t.subnets, a)
	return struct {
		ID    string `xml:"associationId"`
		State string `xml:"associationState>state"`
	}{a.id, "associated"}, c.rewire(t.vpc)
}

func disassociateRouteTable(c *call) (any, error) {
	id, err := c.q.need("AssociationId")
	if err != nil {
		return nil, err
	}
	for _, t := range c.r.tables.All() {
		if t.main == id {
			return nil, fault(400, "InvalidParameterValue", "cannot disassociate the main route table association %s", id)
		}
		i := slices.IndexFunc(t.subnets, func(a association) bool { return a.id == id })
		if i < 0 {
			continue
		}
		if err := c.dryRun(); err != nil {
			return nil, err
		}
		t.subnets = slices.Delete(t.subnets, i, i+1)
		return done{true}, c.rewire(t.vpc)
	}
	return nil, fault(400, "InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

type xmlRouteTable struct {
	ID           string              `xml:"routeTableId"`
	VPC          string              `xml:"vpcId"`
	OwnerID      string              `xml:"ownerId"`
	Routes       set[xmlRoute]       `xml:"routeSet"`
	Associations set[xmlAssociation] `xml:"associationSet"`
	Propagating  set[string]         `xml:"propagatingVgwSet"`
	Tags         set[xmlTag]         `xml:"tagSet"`
}

type xmlRoute struct {
	To      string `xml:"destinationCidrBlock"`
	Gateway string `xml:"gatewayId"`
	State   string `xml:"state"`
	Origin  string `xml:"origin"`
}

type xmlAssociation struct {
	ID     string `xml:"routeTableAssociationId"`
	Table  string `xml:"routeTableId"`
	Subnet string `xml:"subnetId,omitempty"`
	Main   bool   `xml:"main"`
	State  string `xml:"associationState>state"`
}

// xmlRouteTable prints a route table.
func (r *region) xmlRouteTable(t *routeTable) xmlRouteTable {
	x := xmlRouteTable{ID: t.id, VPC: t.vpc, OwnerID: account, Tags: r.xmlTags(t.id)}
	if t.main != "" {
		x.Associations.Items = append(x.Associations.Items, xmlAssociation{t.main, t.id, "", true, "associated"})
	}
	for _, a := range t.subnets {
		x.Associations.Items = append(x.Associations.Items, xmlAssociation{a.id, t.id, a.subnet, false, "associated"})
	}
	x.Routes = setOf(t.routes, func(e route) xmlRoute {
		if e.local {
			return xmlRoute{e.to.String(), "local", "active", "CreateRouteTable"}
		}
		state := "active"
		if g, ok := r.gateways.Get(e.gateway); !ok || g.vpc != t.vpc {
			state = "blackhole"
		}
		return xmlRoute{e.to.String(), e.gateway, state, "CreateRoute"}
	})
	return x
}

func describeRouteTables(c *call) (any, error) {
	rows, err := selected(c, &c.r.tables, selection[*routeTable]{
		param: "RouteTableId", prefix: "rtb-",
		id: func(t *routeTable) string { return t.id },
		attrs: func(t *routeTable, f string) ([]string, bool) {
			x := c.r.xmlRouteTable(t)
			table := map[string][]string{
				"route-table-id": {t.id}, "vpc-id": {t.vpc}, "owner-id": {account}, "association.main": {yesNo(t.main != "")},
				"association.subnet-id": {}, "association.route-table-association-id": {}, "association.route-table-id": {},
				"route.destination-cidr-block": {}, "route.gateway-id": {}, "route.state": {},
			}
			add := func(name, v string) { table[name] = append(table[name], v) }
			for _, a := range x.Associations.Items {
				add("association.subnet-id", a.Subnet)
				add("association.route-table-association-id", a.ID)
				add("association.route-table-id", a.Table)
			}
			for _, e := range x.Routes.Items {
				add("route.destination-cidr-block", e.To)
				add("route.gateway-id", e.Gateway)
				add("route.state", e.State)
			}
			return fields(table)(f)
		},
	})
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Tables set[xmlRouteTable] `xml:"routeTableSet"`
		Next   string             `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlRouteTable), next}, err
}
