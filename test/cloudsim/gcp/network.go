package gcp

import (
	"context"
	"strings"
)

// network is a VPC network, which spans all regions.
type network struct {
	header
	description string
	mtu         int
	routing     string
}

// Limits and defaults of a network's MTU, in bytes.
const (
	defaultMTU = 1460
	minMTU     = 1300
	maxMTU     = 8896
)

type routingConfig struct {
	Mode        string `json:"routingMode,omitempty"`
	BestPath    string `json:"bgpBestPathSelectionMode,omitempty"`
	InterRegion string `json:"bgpInterRegionCost,omitempty"`
	AlwaysMED   *bool  `json:"bgpAlwaysCompareMed,omitempty"`
}

func insertNetwork(c *call) (any, error) {
	var in struct {
		Kind        string         `json:"kind"`
		Name        string         `json:"name"`
		Description string         `json:"description"`
		Auto        *bool          `json:"autoCreateSubnetworks"`
		MTU         *int           `json:"mtu"`
		Routing     *routingConfig `json:"routingConfig"`
		Enforcement string         `json:"networkFirewallPolicyEnforcementOrder"`
	}
	n := &network{mtu: defaultMTU, routing: "REGIONAL"}
	return c.insert(insertion{
		body: &in,
		check: func() (*header, error) {
			n.header = header{name: in.Name, path: "global/networks/" + in.Name}
			n.description = in.Description
			if in.MTU != nil {
				n.mtu = *in.MTU
			}
			if in.Routing != nil && in.Routing.Mode != "" {
				n.routing = in.Routing.Mode
			}
			switch {
			case in.Auto == nil:
				return nil, invalid("resource.IPv4Range", "", "IPv4Range is deprecated: legacy networks cannot be made.")
			case *in.Auto:
				return nil, invalid("resource.autoCreateSubnetworks", "true", "Networks in auto mode are not simulated.")
			case n.mtu < minMTU || n.mtu > maxMTU:
				return nil, invalid("resource.mtu", itoa(n.mtu), "Must be between %d and %d, inclusive.", minMTU, maxMTU)
			case !isOneOf(n.routing, "REGIONAL GLOBAL"):
				return nil, invalid("resource.routingConfig.routingMode", n.routing, "Must be REGIONAL or GLOBAL.")
			}
			return &n.header, checkDescription(in.Description)
		},
		taken: func() bool { return has(&c.p.networks, n.path) },
		admit: func() error { return c.checkQuota("network", "NETWORKS", "", c.p.networks.Len()) },
		put:   func() error { c.p.networks.Put(n.path, n); return nil },
	})
}

// networkOf finds the network that a field refers to.
func (c *call) networkOf(field, ref string) (*network, error) {
	if ref == "" {
		ref = "global/networks/default"
	}
	path, err := c.p.own(field, ref, "networks")
	if err != nil {
		return nil, err
	}
	n, err := find(c, &c.p.networks, path)
	if err != nil {
		return nil, err
	}
	return n, c.ready(&n.header)
}

func deleteNetwork(c *call) (any, error) {
	n, err := find(c, &c.p.networks, "global/networks/"+c.path("network"))
	if err != nil {
		return nil, err
	}
	return c.remove(&n.header, func() error {
		if by := c.p.userOf(n); by != "" {
			return inUse("network", c.p.resource(n.path), c.p.resource(by))
		}
		return nil
	}, func(context.Context) error { c.p.networks.Delete(n.path); return nil })
}

// userOf returns the path of something that uses a network, "" if nothing does.
func (p *project) userOf(n *network) string {
	for _, f := range p.firewalls.All() {
		if f.network == n {
			return f.path
		}
	}
	for _, s := range p.subnetworks.All() {
		if s.network == n {
			return s.path
		}
	}
	for _, r := range p.routers.All() {
		if r.network == n {
			return r.path
		}
	}
	return ""
}

type networkDoc struct {
	Kind        string        `json:"kind"`
	ID          uint64        `json:"id,string"`
	Created     string        `json:"creationTimestamp"`
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	SelfLink    string        `json:"selfLink"`
	WithID      string        `json:"selfLinkWithId"`
	Auto        bool          `json:"autoCreateSubnetworks"`
	Subnetworks []string      `json:"subnetworks,omitempty"`
	MTU         int           `json:"mtu"`
	Routing     routingConfig `json:"routingConfig"`
	Enforcement string        `json:"networkFirewallPolicyEnforcementOrder"`
}

func (p *project) networkDoc(n *network) networkDoc {
	d := networkDoc{
		Kind: "compute#network", ID: n.id, Created: stamp(n.created), Name: n.name, Description: n.description, SelfLink: p.link(n.path),
		WithID: p.link("global/networks/" + utoa(n.id)), MTU: n.mtu, Routing: routingConfig{Mode: n.routing}, Enforcement: "AFTER_CLASSIC_FIREWALL",
	}
	for _, s := range p.subnetworks.All() {
		if s.network == n {
			d.Subnetworks = append(d.Subnetworks, p.link(s.path))
		}
	}
	return d
}

func getNetwork(c *call) (any, error) {
	return get(c, &c.p.networks, "global/networks/"+c.path("network"), c.p.networkDoc)
}

func listNetworks(c *call) (any, error) {
	return listOf(c, "compute#networkList", "global/networks", c.p.networks.All(), c.p.networkDoc)
}

// route is a way that every network has: to its subnetworks and to the internet.
type route struct {
	name, description, dest, nextHop string
	network                          *network
	priority                         int
}

func (p *project) routes() []route {
	var all []route
	for _, n := range p.networks.All() {
		all = append(all, route{
			name: "default-route-" + utoa(n.id)[:12], description: "Default route to the Internet.", dest: "0.0.0.0/0",
			nextHop: "global/gateways/default-internet-gateway", network: n, priority: 1000,
		})
	}
	for _, s := range p.subnetworks.All() {
		all = append(all, route{
			name: "default-route-" + utoa(s.id)[:12], description: "Default local route to the subnetwork " + s.cidr.String() + ".",
			dest: s.cidr.String(), network: s.network,
		})
	}
	return all
}

type routeDoc struct {
	Kind        string `json:"kind"`
	ID          uint64 `json:"id,string"`
	Created     string `json:"creationTimestamp"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Network     string `json:"network"`
	Dest        string `json:"destRange"`
	Priority    int    `json:"priority"`
	Gateway     string `json:"nextHopGateway,omitempty"`
	NextNetwork string `json:"nextHopNetwork,omitempty"`
	SelfLink    string `json:"selfLink"`
}

func listRoutes(c *call) (any, error) {
	return listOf(c, "compute#routeList", "global/routes", c.p.routes(), func(r route) routeDoc {
		d := routeDoc{
			Kind: "compute#route", ID: stableID(r.name), Created: stamp(r.network.created), Name: r.name, Description: r.description,
			Network: c.p.link(r.network.path), Dest: r.dest, Priority: r.priority, SelfLink: c.p.link("global/routes/" + r.name),
		}
		if r.nextHop != "" {
			d.Gateway = c.p.link(r.nextHop)
		} else {
			d.NextNetwork = c.p.link(r.network.path)
		}
		return d
	})
}

// isOneOf reports whether s is one of the words.
func isOneOf(s, words string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == s {
			return true
		}
	}
	return false
}
