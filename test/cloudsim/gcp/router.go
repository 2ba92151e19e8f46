package gcp

import (
	"context"
	"net/http"
)

// router is a Cloud Router. All it does here is to carry Cloud NAT.
type router struct {
	header
	network *network
	region  string
	routerFields
}

// routerFields is the part of a router that can be changed.
type routerFields struct {
	Description string `json:"description,omitempty"`
	NATs        []nat  `json:"nats,omitempty"`
}

// nat is a Cloud NAT: a way out for the machines of a network's subnetworks in
// the router's region that have no address of their own.
type nat struct {
	Name        string      `json:"name"`
	Type        string      `json:"type,omitempty"`
	Ranges      string      `json:"sourceSubnetworkIpRangesToNat"`
	Subnetworks []natSubnet `json:"subnetworks,omitempty"`
	Allocate    string      `json:"natIpAllocateOption"`
	Tier        string      `json:"autoNetworkTier,omitempty"`
	Endpoints   []string    `json:"endpointTypes,omitempty"`
	Independent bool        `json:"enableEndpointIndependentMapping"`
	Dynamic     *bool       `json:"enableDynamicPortAllocation,omitempty"`
	MinPorts    *int        `json:"minPortsPerVm,omitempty"`
	MaxPorts    *int        `json:"maxPortsPerVm,omitempty"`
	Log         *natLog     `json:"logConfig,omitempty"`
}

type natSubnet struct {
	Name   string   `json:"name"`
	Ranges []string `json:"sourceIpRangesToNat"`
}

type natLog struct {
	Enable bool   `json:"enable"`
	Filter string `json:"filter,omitempty"`
}

type routerIn struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Network string `json:"network"`
	Region  string `json:"region"`
	routerFields
}

func insertRouter(c *call) (any, error) {
	var in routerIn
	r := &router{region: c.path("region")}
	return c.insert(insertion{
		body: &in,
		check: func() (*header, error) {
			r.header = header{name: in.Name, path: c.scope() + "/routers/" + in.Name}
			if in.Network == "" {
				return nil, required("resource.network")
			}
			if err := c.checkNATs(in.NATs); err != nil {
				return nil, err
			}
			var err error
			r.routerFields = in.routerFields
			r.network, err = c.networkOf("resource.network", in.Network)
			return &r.header, err
		},
		taken: func() bool { return has(&c.p.routers, r.path) },
		admit: func() error { return c.checkQuota("router", "ROUTERS", "", c.p.routers.Len()) },
		put:   func() error { c.p.routers.Put(r.path, r); return c.p.rewire(c.ctx) },
	})
}

// checkNATs validates what a router translates.
func (c *call) checkNATs(nats []nat) error {
	for _, n := range nats {
		switch {
		case !nameRule.MatchString(n.Name):
			return invalid("resource.nats[0].name", n.Name, "Must be a match of regex '%s'", nameRule)
		case !isOneOf(n.Ranges, "ALL_SUBNETWORKS_ALL_IP_RANGES ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES LIST_OF_SUBNETWORKS"):
			return invalid("resource.nats[0].sourceSubnetworkIpRangesToNat", n.Ranges, "Unknown value.")
		case n.Allocate != "AUTO_ONLY":
			return invalid("resource.nats[0].natIpAllocateOption", n.Allocate, "Only AUTO_ONLY is simulated.")
		case n.Type != "" && n.Type != "PUBLIC":
			return invalid("resource.nats[0].type", n.Type, "Only PUBLIC is simulated.")
		case (n.Ranges == "LIST_OF_SUBNETWORKS") != (len(n.Subnetworks) > 0):
			return invalid("resource.nats[0].subnetworks", "", "It goes with LIST_OF_SUBNETWORKS, and only with that.")
		}
		for _, s := range n.Subnetworks {
			path, err := c.p.own("resource.nats[0].subnetworks[0].name", s.Name, "subnetworks")
			if err != nil {
				return err
			}
			if _, ok := c.p.subnetworks.Get(path); !ok {
				return notFound(c.p.resource(path))
			}
		}
	}
	return nil
}

// covers reports whether a router is the way out of a subnetwork.
func (r *router) covers(p *project, s *subnetwork) bool {
	if r.network != s.network || r.region != s.region {
		return false
	}
	for _, n := range r.NATs {
		if n.Ranges != "LIST_OF_SUBNETWORKS" {
			return true
		}
		for _, sub := range n.Subnetworks {
			if _, path, ok := p.parseRef(sub.Name); ok && path == s.path {
				return true
			}
		}
	}
	return false
}

// changeRouter updates a router: by PATCH what is given, by PUT all of it.
func changeRouter(c *call) (any, error) {
	r, err := find(c, &c.p.routers, c.routerPath())
	if err != nil {
		return nil, err
	}
	in, kind := routerIn{}, "update"
	if c.r.Method == http.MethodPatch {
		in.Description, kind = r.Description, "patch"
	}
	return c.change(kind, &r.header, func() error {
		if err := decode(c, &in); err != nil {
			return err
		}
		if in.NATs == nil && c.r.Method == http.MethodPatch {
			in.NATs = r.NATs
		}
		if err := c.checkNATs(in.NATs); err != nil {
			return err
		}
		r.routerFields = in.routerFields
		return c.p.rewire(c.ctx)
	})
}

// routerPath is the path of the router that a call names.
func (c *call) routerPath() string { return c.scope() + "/routers/" + c.path("router") }

func deleteRouter(c *call) (any, error) {
	r, err := find(c, &c.p.routers, c.routerPath())
	if err != nil {
		return nil, err
	}
	return c.remove(&r.header, func() error { return nil }, func(ctx context.Context) error {
		c.p.routers.Delete(r.path)
		return c.p.rewire(ctx)
	})
}

type routerDoc struct {
	Kind      string `json:"kind"`
	ID        uint64 `json:"id,string"`
	Created   string `json:"creationTimestamp"`
	Name      string `json:"name"`
	Network   string `json:"network"`
	Region    string `json:"region"`
	Encrypted bool   `json:"encryptedInterconnectRouter"`
	SelfLink  string `json:"selfLink"`
	routerFields
}

func (p *project) routerDoc(r *router) routerDoc {
	return routerDoc{
		Kind: "compute#router", ID: r.id, Created: stamp(r.created), Name: r.name, Network: p.link(r.network.path),
		Region: p.link("regions/" + r.region), SelfLink: p.link(r.path), routerFields: r.routerFields,
	}
}

func getRouter(c *call) (any, error) {
	return get(c, &c.p.routers, c.routerPath(), c.p.routerDoc)
}

func listRouters(c *call) (any, error) {
	rows := c.p.routers.Where(func(r *router) bool { return r.region == c.path("region") })
	return listOf(c, "compute#routerList", c.scope()+"/routers", rows, c.p.routerDoc)
}

func aggregateRouters(c *call) (any, error) {
	return aggregate(c, "compute#routerAggregatedList", "routers", "routers", c.p.routers.All(),
		func(r *router) string { return scopeOf(r.path) }, c.p.routerDoc)
}
