package alibaba

import (
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// wire gives a VPC its network in the fabric, when the first machine comes. The
// way to the internet is there from the beginning: only public addresses use it.
func (c *call) wire(id string) error {
	v, err := c.vpc(id)
	if err != nil || v.wired {
		return err
	}
	if err := c.opts.Fabric.AddNetwork(c.ctx, fabric.Network{ID: v.id, CIDR: v.cidr, MetadataIP: metadataIP}); err != nil {
		return err
	}
	v.wired = true
	return c.opts.Fabric.SetGateway(c.ctx, v.id, fabric.Gateway{Attached: true})
}

// givePublic gives an instance with bandwidth to the internet its address.
func (c *call) givePublic(i *instance) error {
	if i.bandwidth == 0 {
		return nil
	}
	ip, err := c.opts.Fabric.AllocatePublic(c.ctx)
	if err != nil {
		return err
	}
	i.public = ip
	return c.opts.Fabric.MapPublic(c.ctx, ip, i.vpc, i.ip)
}

// enforce gives the fabric the rules of every instance of a VPC whose rules
// have changed.
func (c *call) enforce(vpcID string) error {
	v, ok := c.r.vpcs.Get(vpcID)
	if !ok || !v.wired {
		return nil
	}
	for _, i := range c.r.instances.All() {
		if i.vpc != vpcID {
			continue
		}
		rules := c.r.compile(i)
		if i.enforced && slices.Equal(rules, i.rules) {
			continue
		}
		if err := c.opts.Fabric.SetFirewall(c.ctx, i.vpc, i.ip, rules); err != nil {
			return err
		}
		i.rules, i.enforced = rules, true
	}
	return nil
}

// compile turns an instance's security group into rules of the fabric: all may
// leave, and in may what the group's rules accept and, unless it keeps them
// apart, all that comes from its members.
func (r *region) compile(i *instance) []fabric.Rule {
	rules := []fabric.Rule{{Ingress: false}}
	g, ok := r.groups.Get(i.group)
	if !ok {
		return rules
	}
	from := func(base fabric.Rule, group string) {
		for _, m := range r.instances.All() {
			if m.group == group {
				base.CIDR = netip.PrefixFrom(m.ip, m.ip.BitLen())
				rules = append(rules, base)
			}
		}
	}
	for _, rule := range g.rules {
		base := fabric.Rule{Ingress: true, CIDR: rule.cidr}
		switch rule.proto {
		case "TCP":
			base.Protocol, base.FromPort, base.ToPort = "tcp", rule.from, rule.to
		case "UDP":
			base.Protocol, base.FromPort, base.ToPort = "udp", rule.from, rule.to
		case "ICMP":
			base.Protocol, base.FromPort, base.ToPort = "icmp", -1, -1
		}
		if rule.group == "" {
			rules = append(rules, base)
		} else {
			from(base, rule.group)
		}
	}
	if !g.apart {
		from(fabric.Rule{Ingress: true}, g.id)
	}
	return rules
}
