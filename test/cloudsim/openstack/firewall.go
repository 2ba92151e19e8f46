package openstack

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// enforce gives the fabric the rules of every port whose rules have changed.
func (c *call) enforce() error {
	for _, p := range c.ports.All() {
		if !p.ip.IsValid() || p.owner == ownerRouter {
			continue
		}
		rules := c.compile(p)
		if p.enforced && slices.Equal(rules, p.rules) {
			continue
		}
		if err := c.opts.Fabric.SetFirewall(c.ctx, p.subnet, p.ip, rules); err != nil {
			return err
		}
		p.rules, p.enforced = rules, true
	}
	return nil
}

// compile turns a port's security groups into rules of the fabric. A group that
// a rule refers to stands for its members' addresses. The fabric carries IPv4.
func (c *Cloud) compile(p *port) []fabric.Rule {
	if p.open {
		return []fabric.Rule{{}, {Ingress: true}}
	}
	var rules []fabric.Rule
	for _, id := range p.groups {
		g, ok := c.groups.Get(id)
		if !ok {
			continue
		}
		for _, r := range g.rules {
			if r.ether != "IPv4" {
				continue
			}
			base := r.fabric()
			if r.remote == "" {
				rules = append(rules, base)
				continue
			}
			for _, member := range c.ports.All() {
				if member.ip.IsValid() && slices.Contains(member.groups, r.remote) {
					base.CIDR = netip.PrefixFrom(member.ip, member.ip.BitLen())
					rules = append(rules, base)
				}
			}
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// fabric returns the rule in the fabric's form, without its remote group.
func (a allows) fabric() fabric.Rule {
	r := fabric.Rule{Ingress: a.ingress, CIDR: a.prefix.Masked()}
	number, known := protocolNumber(a.protocol)
	switch {
	case !known: // any
		return r
	case number == 6:
		r.Protocol, r.FromPort, r.ToPort = "tcp", max(a.from, 0), max(a.to, 0)
	case number == 17:
		r.Protocol, r.FromPort, r.ToPort = "udp", max(a.from, 0), max(a.to, 0)
	case number == 1:
		r.Protocol, r.FromPort, r.ToPort = "icmp", a.from, a.to
	default:
		r.Protocol = itoa(number)
	}
	return r
}

// compareRules orders rules, so that equal sets are equal lists.
func compareRules(a, b fabric.Rule) int {
	in := func(r fabric.Rule) int {
		if r.Ingress {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(in(a), in(b)), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.FromPort, b.FromPort),
		cmp.Compare(a.ToPort, b.ToPort), a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()),
	)
}
