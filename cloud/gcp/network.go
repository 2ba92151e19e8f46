package gcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// EnsureNetwork implements cloud.Driver: network, subnetwork, firewall rule and,
// if asked for, router with NAT. Each step looks for what is there, then creates
// what is missing with the mark on it and waits until it is ready.
func (d *Driver) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	if err := spec.Validate(); err != nil {
		return cloud.Network{}, err
	}
	n := network{session: d.session(ctx), spec: spec, name: networkName(spec.Name, spec.Region)}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"network", n.ensureNetwork},
		{"subnetwork", n.ensureSubnetwork},
		{"firewall rule", n.ensureFirewall},
		{"router", n.ensureRouter},
	} {
		if err := step.do(); err != nil {
			return cloud.Network{}, fmt.Errorf("gcp network %s in %s: %s: %w", spec.Name, spec.Region, step.what, n.explain(spec.Region, err))
		}
	}
	return cloud.Network{ID: n.name, SubnetID: n.name, SecurityGroup: n.name, Key: spec.SSHKey}, nil
}

// network is one EnsureNetwork under way.
type network struct {
	*session
	spec cloud.NetworkSpec
	name string // of everything
}

// adopt checks the mark of something that is there.
func (n *network) adopt(description string) error {
	if got := cloud.OwnerOf(cloud.ParseDescription(description)); got != n.spec.Owner {
		return fmt.Errorf("%w: %s has the name and not the mark", cloud.ErrConflict, n.name)
	}
	return nil
}

// made waits for a creation. A name that is taken although nothing was found by
// it was taken by an earlier try that is not visible yet.
func (n *network) made(err error) error {
	if taken(err) {
		return fmt.Errorf("%w: made before and not visible yet: %w", cloud.ErrUnavailable, err)
	}
	return notYet(err)
}

func (n *network) ensureNetwork() error {
	c, err := n.networks()
	if err != nil {
		return err
	}
	look := func() (*computepb.Network, error) {
		have, err := c.Get(n.ctx, &computepb.GetNetworkRequest{Project: n.project, Network: n.name})
		return have, wrap("networks.get", err)
	}
	have, err := look()
	if err == nil {
		// Made by an earlier try, or about to be deleted.
		var waited bool
		if waited, err = n.settle(); waited {
			have, err = look()
		}
	}
	if err == nil {
		return n.adopt(have.GetDescription())
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	// Of all that is made, only this does not tell whether the region exists.
	if _, err := n.getRegion(n.spec.Region); err != nil {
		return err
	}
	op, err := c.Insert(n.ctx, &computepb.InsertNetworkRequest{Project: n.project, NetworkResource: &computepb.Network{
		Name: proto.String(n.name), Description: proto.String(description(n.spec)), AutoCreateSubnetworks: proto.Bool(false),
	}})
	return n.made(n.finish("networks.insert", op, err))
}

// settle waits for the operations on this network and on what belongs to it,
// which are those of an earlier try. All of them are called alike.
func (n *network) settle() (waited bool, err error) {
	ops, err := n.operations(underWay)
	if err != nil {
		return false, err
	}
	for _, op := range ops {
		if last(op.GetTargetLink()) != n.name {
			continue
		}
		waited = true
		// That it failed would not matter: this try looks itself.
		if _, err := n.wait(op); err != nil {
			return waited, err
		}
	}
	return waited, nil
}

func (n *network) ensureSubnetwork() error {
	c, err := n.subnetworks()
	if err != nil {
		return err
	}
	have, err := c.Get(n.ctx, &computepb.GetSubnetworkRequest{Project: n.project, Region: n.spec.Region, Subnetwork: n.name})
	if err = wrap("subnetworks.get", err); err == nil {
		if got := have.GetIpCidrRange(); got != n.spec.CIDR.String() {
			return fmt.Errorf("%w: %s has range %s, want %s", cloud.ErrConflict, n.name, got, n.spec.CIDR)
		}
		return n.adopt(have.GetDescription())
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	op, err := c.Insert(n.ctx, &computepb.InsertSubnetworkRequest{Project: n.project, Region: n.spec.Region, SubnetworkResource: &computepb.Subnetwork{
		Name: proto.String(n.name), Description: proto.String(description(n.spec)),
		Network: proto.String(n.link()), IpCidrRange: proto.String(n.spec.CIDR.String()),
	}})
	return n.made(n.finish("subnetworks.insert", op, err))
}

// link refers to the network.
func (n *network) link() string { return "projects/" + n.project + "/global/networks/" + n.name }

func (n *network) ensureFirewall() error {
	c, err := n.firewalls()
	if err != nil {
		return err
	}
	want := n.firewall()
	have, err := c.Get(n.ctx, &computepb.GetFirewallRequest{Project: n.project, Firewall: n.name})
	if err = wrap("firewalls.get", err); err == nil {
		if err := n.adopt(have.GetDescription()); err != nil {
			return err
		}
		if sameRule(have, want) {
			return nil
		}
		// A patch could not take tags away.
		op, err := c.Update(n.ctx, &computepb.UpdateFirewallRequest{Project: n.project, Firewall: n.name, FirewallResource: want})
		return notYet(n.finish("firewalls.update", op, err))
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	op, err := c.Insert(n.ctx, &computepb.InsertFirewallRequest{Project: n.project, FirewallResource: want})
	return n.made(n.finish("firewalls.insert", op, err))
}

// anywhere is every IPv4 address.
const anywhere = "0.0.0.0/0"

// firewall is the network's one rule, which holds for all its machines: it
// allows spec.Open to everyone. What no rule allows cannot come in. A rule that
// allows nothing is not possible: it is one that is not in force.
func (n *network) firewall() *computepb.Firewall {
	f := &computepb.Firewall{
		Name: proto.String(n.name), Description: proto.String(description(n.spec)), Network: proto.String(n.link()),
		Direction: proto.String("INGRESS"), Priority: proto.Int32(1000), SourceRanges: []string{anywhere}, Disabled: proto.Bool(len(n.spec.Open) == 0),
	}
	ports := map[string][]string{}
	for _, p := range n.spec.Open {
		if number := strconv.Itoa(p.Number); !slices.Contains(ports[p.Protocol], number) {
			ports[p.Protocol] = append(ports[p.Protocol], number)
		}
	}
	for _, protocol := range []string{"tcp", "udp"} {
		if len(ports[protocol]) > 0 {
			slices.Sort(ports[protocol])
			f.Allowed = append(f.Allowed, &computepb.Allowed{IPProtocol: proto.String(protocol), Ports: ports[protocol]})
		}
	}
	if len(f.Allowed) == 0 {
		f.Allowed = []*computepb.Allowed{{IPProtocol: proto.String("icmp")}}
	}
	return f
}

// sameRule reports whether a rule lets in what is wanted and nothing else.
func sameRule(have, want *computepb.Firewall) bool {
	return have.GetDisabled() == want.GetDisabled() && slices.Equal(have.GetSourceRanges(), want.GetSourceRanges()) &&
		len(have.GetSourceTags())+len(have.GetSourceServiceAccounts())+len(have.GetTargetTags())+len(have.GetTargetServiceAccounts()) == 0 &&
		slices.Equal(ruleKeys(have), ruleKeys(want))
}

// ruleKeys lists what a rule allows, in order.
func ruleKeys(f *computepb.Firewall) []string {
	var keys []string
	for _, a := range f.GetAllowed() {
		if len(a.GetPorts()) == 0 {
			keys = append(keys, a.GetIPProtocol())
		}
		for _, p := range a.GetPorts() {
			keys = append(keys, a.GetIPProtocol()+" "+p)
		}
	}
	slices.Sort(keys)
	return keys
}

// natName is the name of the NAT in its router.
const natName = "nat"

// ensureRouter gives machines without a public address a way out, if that is
// asked for. A way out that is there stays.
func (n *network) ensureRouter() error {
	if !n.spec.NAT {
		return nil
	}
	c, err := n.routers()
	if err != nil {
		return err
	}
	nats := []*computepb.RouterNat{{
		Name: proto.String(natName), NatIpAllocateOption: proto.String("AUTO_ONLY"),
		SourceSubnetworkIpRangesToNat: proto.String("ALL_SUBNETWORKS_ALL_IP_RANGES"),
	}}
	have, err := c.Get(n.ctx, &computepb.GetRouterRequest{Project: n.project, Region: n.spec.Region, Router: n.name})
	if err = wrap("routers.get", err); err == nil {
		if err := n.adopt(have.GetDescription()); err != nil || len(have.GetNats()) > 0 {
			return err
		}
		op, err := c.Patch(n.ctx, &computepb.PatchRouterRequest{Project: n.project, Region: n.spec.Region, Router: n.name,
			RouterResource: &computepb.Router{Nats: nats}})
		return notYet(n.finish("routers.patch", op, err))
	}
	if !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	op, err := c.Insert(n.ctx, &computepb.InsertRouterRequest{Project: n.project, Region: n.spec.Region, RouterResource: &computepb.Router{
		Name: proto.String(n.name), Description: proto.String(description(n.spec)), Network: proto.String(n.link()), Nats: nats,
	}})
	return n.made(n.finish("routers.insert", op, err))
}
