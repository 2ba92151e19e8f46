package azure

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// This file carries over to the fabric what security groups let pass. Azure's
// rules allow or deny and the first that matches decides; the fabric's only
// allow. So an allowing rule counts unless a denying one before it covers it in
// full, and what a denying rule covers in part is refused when it is sent.

// covers tells whether everything that b matches is matched by r.
func (r rule) covers(b rule) bool {
	if r.ingress != b.ingress || r.protocol != "*" && r.protocol != b.protocol {
		return false
	}
	within := func(p ports) bool {
		return slices.ContainsFunc(r.ports, func(o ports) bool { return o.from <= p.from && p.to <= o.to })
	}
	if slices.ContainsFunc(b.ports, func(p ports) bool { return !within(p) }) {
		return false
	}
	for _, s := range b.remote {
		if !slices.Contains(r.remote, "*") && !slices.Contains(r.remote, "0.0.0.0/0") && !slices.Contains(r.remote, s) {
			return false
		}
	}
	return true
}

// touches tells whether something may be matched by both.
func (r rule) touches(b rule) bool {
	if r.ingress != b.ingress || r.protocol != "*" && b.protocol != "*" && r.protocol != b.protocol {
		return false
	}
	overlap := slices.ContainsFunc(r.ports, func(p ports) bool {
		return slices.ContainsFunc(b.ports, func(o ports) bool { return p.from <= o.to && o.from <= p.to })
	})
	return overlap && (tagged(r.remote) || tagged(b.remote) || slices.ContainsFunc(r.remote, func(s string) bool {
		return slices.ContainsFunc(b.remote, func(o string) bool { return prefix(s).Overlaps(prefix(o)) })
	}))
}

// tagged tells whether a list has something that is no prefix.
func tagged(list []string) bool { return slices.ContainsFunc(list, known) }

// prefix reads a prefix or an address that was checked before.
func prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked()
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// all returns a group's rules in the order in which Azure looks at them.
func (s *security) all() []rule {
	return append(slices.Clone(s.rules), defaultRules...)
}

// expressible refuses what the fabric cannot do.
func (s *security) expressible() *apiError {
	list := s.all()
	for i, deny := range list {
		for _, allow := range list[i+1:] {
			if !deny.allow && allow.allow && deny.touches(allow) && !deny.covers(allow) {
				return notSimulated("security group with rule " + deny.name + " that denies a part of what " + allow.name + " allows")
			}
		}
	}
	return nil
}

// compile turns the rules of an interface's group into those of the fabric. An
// interface without a group has Azure's default rules.
func (c *call) compile(v *nic, n *network) []fabric.Rule {
	list := defaultRules
	if s, ok := c.securities.Get(v.security); ok {
		list = s.all()
	}
	var rules []fabric.Rule
	for i, r := range list {
		hidden := slices.ContainsFunc(list[:i], func(o rule) bool { return !o.allow && o.covers(r) })
		if r.allow && !hidden {
			rules = append(rules, r.fabric(n)...)
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// fabric returns the rules that do what an allowing rule says.
func (r rule) fabric(n *network) []fabric.Rule {
	var out []fabric.Rule
	for _, s := range r.remote {
		base := fabric.Rule{Ingress: r.ingress}
		switch s {
		case "*", "Internet": // everyone: see the package's documentation
		case "VirtualNetwork":
			base.CIDR = n.cidr
		case "AzureLoadBalancer":
			continue // there is none
		default:
			base.CIDR = prefix(s)
		}
		for _, p := range r.ports {
			switch {
			case r.protocol == "Tcp", r.protocol == "Udp":
				one := base
				one.Protocol, one.FromPort, one.ToPort = map[string]string{"Tcp": "tcp", "Udp": "udp"}[r.protocol], p.from, p.to
				out = append(out, one)
			case r.protocol == "Icmp":
				one := base
				one.Protocol, one.FromPort, one.ToPort = "icmp", -1, -1
				out = append(out, one)
			case p == allPorts:
				out = append(out, base)
			default: // any protocol that has ports
				for _, name := range []string{"tcp", "udp"} {
					one := base
					one.Protocol, one.FromPort, one.ToPort = name, p.from, p.to
					out = append(out, one)
				}
			}
		}
	}
	return out
}

// enforce gives the fabric the rules of every interface whose rules have
// changed.
func (c *call) enforce() *apiError {
	for _, v := range c.nics.All() {
		n, ok := c.networkOf(v)
		if !ok {
			continue
		}
		rules := c.compile(v, n)
		if v.enforced && slices.Equal(rules, v.rules) {
			continue
		}
		if err := c.opts.Fabric.SetFirewall(c.ctx, n.key(), v.ip, rules); err != nil {
			return fault(500, "InternalServerError", "%s", err)
		}
		v.rules, v.enforced = rules, true
	}
	return nil
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
