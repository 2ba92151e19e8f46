package openstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/cbnet-io/cbnet/cloud"
)

// EnsureNetwork implements cloud.Driver: network, subnet, router with a
// gateway, its interface, security group, rules, key pair. Each step looks for what is
// there, then creates what is missing with the mark on it.
func (d *Driver) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	if err := spec.Validate(); err != nil {
		return cloud.Network{}, err
	}
	fail := func(what string, err error) (cloud.Network, error) {
		return cloud.Network{}, fmt.Errorf("network %s in %s: %s: %w", spec.Name, spec.Region, what, err)
	}
	r, err := d.in(ctx, spec.Region)
	if err != nil {
		return fail(Provider, err)
	}
	out, err := d.externalNetwork(ctx, r)
	if err != nil {
		return fail("external network", err)
	}
	n := network{c: r.network, compute: r.compute, spec: spec, mark: spec.Owner.Description(), external: out}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"network", n.ensureNetwork},
		{"subnet", n.ensureSubnet},
		{"router", n.ensureRouter},
		{"router interface", n.ensureInterface},
		{"security group", n.ensureGroup},
		{"security group rules", n.ensureRules},
		{"key pair", n.ensureKey},
	} {
		if err := step.do(ctx); err != nil {
			if errors.Is(err, cloud.ErrNotFound) {
				d.forget() // perhaps the external network was replaced
			}
			return fail(step.what, err)
		}
	}
	return cloud.Network{ID: n.network, SubnetID: n.subnet, SecurityGroup: n.group.ID, Key: n.key}, nil
}

// network is one EnsureNetwork under way.
type network struct {
	c        *gophercloud.ServiceClient
	compute  *gophercloud.ServiceClient
	spec     cloud.NetworkSpec
	mark     string // description of everything
	external string // network that leads out

	network, subnet, router string
	group                   groups.SecGroup
	key                     string
}

func (n *network) ensureNetwork(ctx context.Context) error {
	have, err := all(ctx, "GET /networks", networks.List(n.c, networks.ListOpts{Name: n.spec.Name, Description: n.mark}), networks.ExtractNetworks)
	if err != nil {
		return err
	}
	if v, ok := oldest(have, n.ours, func(v networks.Network) (time.Time, string) { return v.CreatedAt, v.ID },
		func(v networks.Network) string { return v.Name + "\x00" + v.Description }); ok {
		n.network = v.ID
		return nil
	}
	made, err := networks.Create(ctx, n.c, networks.CreateOpts{Name: n.spec.Name, Description: n.mark}).Extract()
	if err != nil {
		return wrap("POST /networks", err)
	}
	n.network = made.ID
	return nil
}

// ours reports whether an object with this name and description is what this
// call looks for.
func (n *network) ours(nameAndDescription string) bool {
	return nameAndDescription == n.spec.Name+"\x00"+n.mark
}

func (n *network) ensureSubnet(ctx context.Context) error {
	have, err := all(ctx, "GET /subnets", subnets.List(n.c, subnets.ListOpts{NetworkID: n.network}), subnets.ExtractSubnets)
	if err != nil {
		return err
	}
	for _, s := range have {
		if s.NetworkID != n.network {
			continue
		}
		if s.CIDR != n.spec.CIDR.String() {
			return fmt.Errorf("%w: %s has range %s, want %s", cloud.ErrConflict, s.ID, s.CIDR, n.spec.CIDR)
		}
		n.subnet = s.ID
		return nil
	}
	first, last := pool(n.spec.CIDR)
	made, err := subnets.Create(ctx, n.c, subnets.CreateOpts{
		NetworkID: n.network, Name: n.spec.Name, Description: n.mark,
		CIDR: n.spec.CIDR.String(), IPVersion: gophercloud.IPv4,
		// What Neutron gives out by itself (DHCP, router) must never be an
		// address that a machine is planned to have.
		AllocationPools: []subnets.AllocationPool{{Start: first.String(), End: last.String()}},
	}).Extract()
	if err != nil {
		return wrap("POST /subnets", err)
	}
	n.subnet = made.ID
	return nil
}

// pool returns the addresses at the upper end of a subnet that are not for
// machines, without the broadcast address.
func pool(subnet netip.Prefix) (first, last netip.Addr) {
	b := subnet.Masked().Addr().As4()
	start := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	broadcast := start + 1<<(32-subnet.Bits()) - 1
	at := func(v uint32) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	}
	return at(broadcast - uint32(cloud.Reserved(subnet)) + 1), at(broadcast - 1)
}

func (n *network) ensureRouter(ctx context.Context) error {
	have, err := all(ctx, "GET /routers", routers.List(n.c, routers.ListOpts{Name: n.spec.Name, Description: n.mark}), routers.ExtractRouters)
	if err != nil {
		return err
	}
	if v, ok := oldest(have, n.ours, func(v routers.Router) (time.Time, string) { return v.CreatedAt, v.ID },
		func(v routers.Router) string { return v.Name + "\x00" + v.Description }); ok {
		n.router = v.ID
		return n.checkSNAT(v)
	}
	made, err := routers.Create(ctx, n.c, routers.CreateOpts{
		Name: n.spec.Name, Description: n.mark, GatewayInfo: &routers.GatewayInfo{NetworkID: n.external},
	}).Extract()
	if err != nil {
		return wrap("POST /routers", err)
	}
	n.router = made.ID
	return n.checkSNAT(*made)
}

func (n *network) ensureInterface(ctx context.Context) error {
	have, err := all(ctx, "GET /ports", ports.List(n.c, ports.ListOpts{DeviceID: n.router, NetworkID: n.network}), ports.ExtractPorts)
	if err != nil {
		return err
	}
	for _, p := range have {
		for _, ip := range p.FixedIPs {
			if p.DeviceID == n.router && ip.SubnetID == n.subnet {
				return nil
			}
		}
	}
	_, err = routers.AddInterface(ctx, n.c, n.router, routers.AddInterfaceOpts{SubnetID: n.subnet}).Extract()
	return wrap("PUT /routers/ID/add_router_interface", err)
}

func (n *network) ensureGroup(ctx context.Context) error {
	have, err := all(ctx, "GET /security-groups", groups.List(n.c, groups.ListOpts{Name: n.spec.Name, Description: n.mark}), groups.ExtractGroups)
	if err != nil {
		return err
	}
	if v, ok := oldest(have, n.ours, func(v groups.SecGroup) (time.Time, string) { return v.CreatedAt, v.ID },
		func(v groups.SecGroup) string { return v.Name + "\x00" + v.Description }); ok {
		n.group = v
		return nil
	}
	made, err := groups.Create(ctx, n.c, groups.CreateOpts{Name: n.spec.Name, Description: n.mark}).Extract()
	if err != nil {
		return wrap("POST /security-groups", err)
	}
	n.group = *made
	return nil
}

// ensureRules makes the group's ingress rules exactly spec.Open. Egress rules
// are Neutron's own: everything.
func (n *network) ensureRules(ctx context.Context) error {
	want := map[string]cloud.Port{}
	for _, p := range n.spec.Open {
		want[fmt.Sprint(p.Protocol, p.Number, p.Number, rules.EtherType4, anywhere)] = p
	}
	for _, r := range n.group.Rules {
		if r.Direction != string(rules.DirIngress) {
			continue
		}
		key := fmt.Sprint(r.Protocol, r.PortRangeMin, r.PortRangeMax, rules.RuleEtherType(r.EtherType), cmp.Or(r.RemoteIPPrefix, anywhere))
		if _, ok := want[key]; ok && r.RemoteGroupID == "" {
			delete(want, key)
			continue
		}
		err := wrap("DELETE /security-group-rules", rules.Delete(ctx, n.c, r.ID).ExtractErr())
		if err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	for _, p := range n.spec.Open {
		key := fmt.Sprint(p.Protocol, p.Number, p.Number, rules.EtherType4, anywhere)
		if _, missing := want[key]; !missing {
			continue
		}
		delete(want, key)
		_, err := rules.Create(ctx, n.c, rules.CreateOpts{
			SecGroupID: n.group.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Description: n.mark,
			Protocol: rules.RuleProtocol(p.Protocol), PortRangeMin: p.Number, PortRangeMax: p.Number, RemoteIPPrefix: anywhere,
		}).Extract()
		if err = wrap("POST /security-group-rules", err); err != nil && !hasCode(err, "SecurityGroupRuleExists") {
			return err
		}
	}
	return nil
}

// anywhere is every IPv4 address.
const anywhere = "0.0.0.0/0"

// all reads every page of a listing.
func all[T any](ctx context.Context, op string, p pagination.Pager, extract func(pagination.Page) ([]T, error)) ([]T, error) {
	pages, err := p.AllPages(ctx)
	if err != nil {
		return nil, wrap(op, err)
	}
	list, err := extract(pages)
	return list, wrap(op, err)
}

// oldest returns the first made of the items that are ours: the same one on
// every try, if there ever are two.
func oldest[T any](items []T, ours func(string) bool, age func(T) (time.Time, string), key func(T) string) (T, bool) {
	var own []T
	for _, v := range items {
		if ours(key(v)) {
			own = append(own, v)
		}
	}
	if len(own) == 0 {
		var zero T
		return zero, false
	}
	return slices.MinFunc(own, func(a, b T) int {
		ta, ia := age(a)
		tb, ib := age(b)
		return cmp.Or(ta.Compare(tb), cmp.Compare(ia, ib))
	}), true
}
