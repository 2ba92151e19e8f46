package aws

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// This file carries what the API says over to the fabric: whether a VPC has a
// way out, which public address leads where, and what the security groups of
// an instance let pass.

// rewire makes the fabric's gateway and 1:1 NAT follow the VPC's internet
// gateway, route tables and public addresses.
func (c *call) rewire(vpcID string) error {
	v, ok := c.r.vpcs.Get(vpcID)
	if !ok || !v.wired {
		return nil
	}
	attached := c.r.gateways.Any(func(g *gateway) bool { return g.vpc == v.id })
	// EC2 has no source NAT without a NAT gateway: who has no public address
	// does not get out.
	if err := c.opts.Fabric.SetGateway(c.ctx, v.id, fabric.Gateway{Attached: attached}); err != nil {
		return err
	}
	for _, e := range c.r.enis.Where(func(e *eni) bool { return e.vpc == v.id }) {
		if err := c.remap(e); err != nil {
			return err
		}
	}
	return nil
}

// remap makes the public address of an interface work exactly while its
// subnet's routes lead to the internet.
func (c *call) remap(e *eni) error {
	var want netip.Addr
	if s, ok := c.r.subnets.Get(e.subnet); ok && e.public.IsValid() && c.r.leadsOut(s) {
		want = e.public
	}
	if e.mapped == want {
		return nil
	}
	if e.mapped.IsValid() {
		if err := c.opts.Fabric.UnmapPublic(c.ctx, e.mapped); err != nil {
			return err
		}
		e.mapped = netip.Addr{}
	}
	if want.IsValid() {
		if err := c.opts.Fabric.MapPublic(c.ctx, want, e.vpc, e.ip); err != nil {
			return err
		}
		e.mapped = want
	}
	return nil
}

// enforce gives the fabric the rules of every interface of a VPC whose rules
// have changed.
func (c *call) enforce(vpcID string) error {
	for _, e := range c.r.enis.Where(func(e *eni) bool { return e.vpc == vpcID }) {
		rules := c.r.compile(e)
		if e.enforced && slices.Equal(rules, e.rules) {
			continue
		}
		if err := c.opts.Fabric.SetFirewall(c.ctx, e.vpc, e.ip, rules); err != nil {
			return err
		}
		e.rules, e.enforced = rules, true
	}
	return nil
}

// compile turns an interface's security groups into rules of the fabric. A
// group that a rule refers to stands for its members' private addresses.
func (r *region) compile(e *eni) []fabric.Rule {
	var rules []fabric.Rule
	for _, id := range e.groups {
		g, ok := r.groups.Get(id)
		if !ok {
			continue
		}
		for _, rule := range g.rules {
			base := fabric.Rule{Ingress: !rule.egress, Protocol: rule.proto, FromPort: rule.from, ToPort: rule.to, CIDR: rule.cidr}
			if rule.proto == "icmpv6" {
				continue // the fabric carries IPv4
			}
			if rule.proto == "-1" {
				base.Protocol, base.FromPort, base.ToPort = "", 0, 0
			}
			if rule.group == "" {
				rules = append(rules, base)
				continue
			}
			for _, member := range r.enis.All() {
				if slices.Contains(member.groups, rule.group) {
					base.CIDR = netip.PrefixFrom(member.ip, member.ip.BitLen())
					rules = append(rules, base)
				}
			}
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// compareRules orders rules, so that equal sets are equal lists.
func compareRules(a, b fabric.Rule) int {
	return cmp.Or(
		cmp.Compare(yesNo(a.Ingress), yesNo(b.Ingress)), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.FromPort, b.FromPort), cmp.Compare(a.ToPort, b.ToPort),
		a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()),
	)
}
