package gcp

import (
	"context"
	"net/netip"
	"strconv"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// subnetwork is a range of addresses of a network in one region. It is a
// network of the fabric from its first machine on.
type subnetwork struct {
	header
	description string
	network     *network
	region      string
	cidr        netip.Prefix
	private     bool // private Google access
	wired       bool // it is on the fabric
}

func itoa(n int) string    { return strconv.Itoa(n) }
func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// fabricID is the name of the subnetwork on the fabric.
func (s *subnetwork) fabricID() string { return "gcp-" + utoa(s.id) }

func insertSubnetwork(c *call) (any, error) {
	var in struct {
		Kind        string `json:"kind"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Network     string `json:"network"`
		Range       string `json:"ipCidrRange"`
		Region      string `json:"region"`
		Private     bool   `json:"privateIpGoogleAccess"`
		FlowLogs    *bool  `json:"enableFlowLogs"`
		Stack       string `json:"stackType"`
		Purpose     string `json:"purpose"`
	}
	s := &subnetwork{region: c.path("region")}
	return c.insert(insertion{
		body: &in,
		check: func() (*header, error) {
			s.header = header{name: in.Name, path: c.scope() + "/subnetworks/" + in.Name}
			s.description, s.private = in.Description, in.Private
			switch {
			case in.Network == "":
				return nil, required("resource.network")
			case in.Range == "":
				return nil, required("resource.ipCidrRange")
			case in.Region != "" && base(in.Region) != s.region:
				return nil, invalid("resource.region", in.Region, "It does not match the region of the request.")
			case in.Stack != "" && in.Stack != "IPV4_ONLY":
				return nil, invalid("resource.stackType", in.Stack, "IPv6 is not simulated.")
			case in.Purpose != "" && in.Purpose != "PRIVATE":
				return nil, invalid("resource.purpose", in.Purpose, "Only PRIVATE is simulated.")
			}
			var err error
			if s.cidr, err = parseRange(in.Range); err != nil {
				return nil, err
			}
			if s.network, err = c.networkOf("resource.network", in.Network); err != nil {
				return nil, err
			}
			return &s.header, checkDescription(in.Description)
		},
		taken: func() bool { return has(&c.p.subnetworks, s.path) },
		admit: func() error {
			for _, o := range c.p.subnetworks.All() {
				if o.network == s.network && o.cidr.Overlaps(s.cidr) {
					return invalid("resource.ipCidrRange", s.cidr.String(), "Invalid IPCidrRange: %s conflicts with existing subnetwork '%s' in region '%s'.", s.cidr, o.name, o.region)
				}
			}
			return c.checkQuota("subnet", "SUBNETWORKS", "", c.p.subnetworks.Len())
		},
		put: func() error { c.p.subnetworks.Put(s.path, s); return nil },
	})
}

// parseRange reads the range of a subnetwork: IPv4, from /4 to /29, private or
// at least not reserved.
func parseRange(s string) (netip.Prefix, error) {
	cidr, err := netip.ParsePrefix(s)
	if err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() {
		return cidr, invalid("resource.ipCidrRange", s, "Must be a CIDR address range that is not contained in any reserved range.")
	}
	if cidr.Bits() < 4 || cidr.Bits() > 29 {
		return cidr, invalid("resource.ipCidrRange", s, "The prefix length must be between 4 and 29, inclusive.")
	}
	for _, r := range []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "199.36.153.4/30", "199.36.153.8/30", "224.0.0.0/4", "255.255.255.255/32",
		"198.18.0.0/15", // the internet of the simulation
	} {
		if cidr.Overlaps(netip.MustParsePrefix(r)) {
			return cidr, invalid("resource.ipCidrRange", s, "Must be a CIDR address range that is not contained in any reserved range.")
		}
	}
	return cidr, nil
}

// gateway is the address of a subnetwork's router.
func (s *subnetwork) gateway() netip.Addr { return s.cidr.Addr().Next() }

// usable reports whether machines may have an address: all but the first two
// and the last two.
func (s *subnetwork) usable(a netip.Addr) bool {
	if !a.Is4() || !s.cidr.Contains(a) || a == s.cidr.Addr() || a == s.gateway() {
		return false
	}
	next := a.Next()
	return s.cidr.Contains(next) && s.cidr.Contains(next.Next())
}

// used returns the machine that has an address, nil if none has.
func (p *project) used(s *subnetwork, a netip.Addr) *instance {
	for _, i := range p.instances.All() {
		if i.subnet == s && i.ip == a {
			return i
		}
	}
	return nil
}

// free returns the lowest free address of a subnetwork.
func (p *project) free(s *subnetwork) (netip.Addr, bool) {
	for a := s.gateway().Next(); s.usable(a); a = a.Next() {
		if p.used(s, a) == nil {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func deleteSubnetwork(c *call) (any, error) {
	s, err := find(c, &c.p.subnetworks, c.subnetworkPath())
	if err != nil {
		return nil, err
	}
	return c.remove(&s.header, func() error {
		for _, i := range c.p.instances.All() {
			if i.subnet == s {
				return inUse("subnetwork", c.p.resource(s.path), c.p.resource(i.path))
			}
		}
		return nil
	}, func(ctx context.Context) error {
		c.p.subnetworks.Delete(s.path)
		if !s.wired {
			return nil
		}
		return c.opts.Fabric.RemoveNetwork(ctx, s.fabricID())
	})
}

// subnetworkPath is the path of the subnetwork that a call names.
func (c *call) subnetworkPath() string { return c.scope() + "/subnetworks/" + c.path("subnetwork") }

// wire puts a subnetwork on the fabric.
func (c *call) wire(s *subnetwork) error {
	if s.wired {
		return nil
	}
	if err := c.opts.Fabric.AddNetwork(c.ctx, fabric.Network{ID: s.fabricID(), CIDR: s.cidr, MTU: s.network.mtu}); err != nil {
		return err
	}
	s.wired = true
	return c.p.rewire(c.ctx)
}

type subnetworkDoc struct {
	Kind        string `json:"kind"`
	ID          uint64 `json:"id,string"`
	Created     string `json:"creationTimestamp"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Network     string `json:"network"`
	Range       string `json:"ipCidrRange"`
	Gateway     string `json:"gatewayAddress"`
	Region      string `json:"region"`
	Private     bool   `json:"privateIpGoogleAccess"`
	PrivateV6   string `json:"privateIpv6GoogleAccess"`
	Purpose     string `json:"purpose"`
	Stack       string `json:"stackType"`
	Fingerprint string `json:"fingerprint"`
	FlowLogs    bool   `json:"enableFlowLogs"`
	SelfLink    string `json:"selfLink"`
}

func (p *project) subnetworkDoc(s *subnetwork) subnetworkDoc {
	return subnetworkDoc{
		Kind: "compute#subnetwork", ID: s.id, Created: stamp(s.created), Name: s.name, Description: s.description,
		Network: p.link(s.network.path), Range: s.cidr.String(), Gateway: s.gateway().String(), Region: p.link("regions/" + s.region),
		Private: s.private, PrivateV6: "DISABLE_GOOGLE_ACCESS", Purpose: "PRIVATE", Stack: "IPV4_ONLY",
		Fingerprint: fingerprint(s.path, s.private), SelfLink: p.link(s.path),
	}
}

func getSubnetwork(c *call) (any, error) {
	return get(c, &c.p.subnetworks, c.subnetworkPath(), c.p.subnetworkDoc)
}

func listSubnetworks(c *call) (any, error) {
	rows := c.p.subnetworks.Where(func(s *subnetwork) bool { return s.region == c.path("region") })
	return listOf(c, "compute#subnetworkList", c.scope()+"/subnetworks", rows, c.p.subnetworkDoc)
}

func aggregateSubnetworks(c *call) (any, error) {
	return aggregate(c, "compute#subnetworkAggregatedList", "subnetworks", "subnetworks", c.p.subnetworks.All(),
		func(s *subnetwork) string { return scopeOf(s.path) }, c.p.subnetworkDoc)
}
