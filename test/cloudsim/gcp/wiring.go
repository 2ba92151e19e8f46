package gcp

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// This file carries what the API says over to the fabric: which way machines
// get out, which public address leads where, and what the firewall lets pass.

// rewire makes the fabric's gateways follow the routers. Every network has a
// route to the internet, for machines with a public address; the others need a
// Cloud NAT.
func (p *project) rewire(ctx context.Context) error {
	for _, s := range p.subnetworks.Where(func(s *subnetwork) bool { return s.wired }) {
		nat := p.routers.Any(func(r *router) bool { return r.covers(p, s) })
		if err := p.opts.Fabric.SetGateway(ctx, s.fabricID(), fabric.Gateway{Attached: true, SNAT: nat}); err != nil {
			return err
		}
	}
	return nil
}

// givePublic gives a machine that is to have one a public address.
func (p *project) givePublic(ctx context.Context, i *instance) error {
	if i.access == nil || i.public.IsValid() {
		return nil
	}
	public, err := p.opts.Fabric.AllocatePublic(ctx)
	if err != nil {
		return err
	}
	i.public = public
	return p.opts.Fabric.MapPublic(ctx, public, i.subnet.fabricID(), i.ip)
}

// releasePublic takes a machine's public address away, as a stop does.
func (p *project) releasePublic(ctx context.Context, i *instance) error {
	if !i.public.IsValid() {
		return nil
	}
	public := i.public
	i.public = netip.Addr{}
	if err := p.opts.Fabric.UnmapPublic(ctx, public); err != nil {
		return err
	}
	return p.opts.Fabric.ReleasePublic(public)
}

// unplug takes what an instance has on the fabric beside its machine.
func (p *project) unplug(ctx context.Context, i *instance) error {
	if err := p.releasePublic(ctx, i); err != nil {
		return err
	}
	if !i.ruled {
		return nil
	}
	return p.opts.Fabric.SetFirewall(ctx, i.subnet.fabricID(), i.ip, nil)
}

// enforce gives the fabric the rules of every machine whose rules have changed.
func (p *project) enforce(ctx context.Context) error {
	for _, i := range p.instances.Where(func(i *instance) bool { return i.doom == nil && i.subnet.wired }) {
		rules := p.compile(i)
		if i.ruled && slices.Equal(rules, i.rules) {
			continue
		}
		if err := p.opts.Fabric.SetFirewall(ctx, i.subnet.fabricID(), i.ip, rules); err != nil {
			return err
		}
		i.rules, i.ruled = rules, true
	}
	return nil
}

// compile turns the firewall of a machine's network into rules of the fabric.
// Everything may leave. Tags stand for the private addresses of those that have
// them.
func (p *project) compile(i *instance) []fabric.Rule {
	rules := []fabric.Rule{{Ingress: false}}
	for _, f := range p.firewalls.All() {
		if f.network != i.subnet.network || f.Disabled || f.Direction != "INGRESS" || len(f.TargetTags) > 0 && !shares(f.TargetTags, i.tags) {
			continue
		}
		for _, from := range p.sources(f, i.subnet) {
			for _, a := range f.Allowed {
				rules = append(rules, a.rules(from)...)
			}
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// sources are the addresses that a firewall lets in, as far as a subnetwork can
// see them.
func (p *project) sources(f *firewall, s *subnetwork) []netip.Prefix {
	var all []netip.Prefix
	for _, r := range f.Sources {
		if cidr, err := netip.ParsePrefix(r); err == nil && cidr.Addr().Is4() {
			all = append(all, cidr)
		}
	}
	for _, o := range p.instances.All() {
		if o.subnet == s && shares(f.SourceTags, o.tags) {
			all = append(all, netip.PrefixFrom(o.ip, 32))
		}
	}
	return all
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// rules are those that let a protocol in from somewhere.
func (a allowed) rules(from netip.Prefix) []fabric.Rule {
	r := fabric.Rule{Ingress: true, Protocol: a.Protocol, CIDR: from}
	switch n, named := protocols[a.Protocol]; {
	case a.Protocol == "all":
		r.Protocol = ""
	case a.Protocol == "icmp" || a.Protocol == "1":
		r.Protocol, r.FromPort, r.ToPort = "icmp", -1, -1
	case a.Protocol == "6":
		r.Protocol = "tcp"
	case a.Protocol == "17":
		r.Protocol = "udp"
	case named && a.Protocol != "tcp" && a.Protocol != "udp":
		r.Protocol = itoa(n)
	}
	if len(a.Ports) == 0 {
		return []fabric.Rule{r}
	}
	var out []fabric.Rule
	for _, p := range a.Ports {
		r.FromPort, r.ToPort, _ = portRange(p) // checked when it came
		out = append(out, r)
	}
	return out
}

// compareRules orders rules, so that equal sets are equal lists.
func compareRules(a, b fabric.Rule) int {
	side := func(r fabric.Rule) int {
		if r.Ingress {
			return 1
		}
		return 0
	}
	return cmp.Or(
		side(a)-side(b), cmp.Compare(a.Protocol, b.Protocol), a.FromPort-b.FromPort, a.ToPort-b.ToPort,
		a.CIDR.Addr().Compare(b.CIDR.Addr()), a.CIDR.Bits()-b.CIDR.Bits(),
	)
}
