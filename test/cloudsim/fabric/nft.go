package fabric

import (
	"fmt"
	"net/netip"
	"strings"
)

// metadataIP is where VMs find their metadata service, unless their network has
// another address for it.
const metadataIP = "169.254.169.254"

// ruleset is the whole packet filter and NAT of a router in the language of
// nft(8). Loading it replaces the one in force in one step.
//
//	from a VM   prerouting -150   own source address? egress rules (before DNAT)
//	            prerouting -100   1:1 NAT: public to private address
//	            forward           gateway attached? way out for the source?
//	            postrouting 100   1:1 NAT and SNAT: private to public address
//	to a VM     postrouting 150   ingress rules (after SNAT: the source is what
//	                              the VM will see)
func ruleset(c routerConfig) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table ip cloudsim")
	line("delete table ip cloudsim")
	line("table ip cloudsim {")
	writePorts(line, c)
	writeForward(line, c)
	writeNAT(line, c)
	line("\tchain self {")
	line("\t\ttype filter hook input priority filter; policy drop;")
	line("\t\tct state established,related accept")
	line("\t\tiifname \"v*\" ip daddr %s tcp dport 80 accept", c.MetadataIP)
	line("\t\ticmp type echo-request accept")
	line("\t}")
	line("}")
	return b.String()
}

// writePorts writes the security groups: two chains per VM and the jumps there.
func writePorts(line func(string, ...any), c routerConfig) {
	for _, p := range c.Ports {
		line("\tchain egress-v%d {", p.VM)
		line("\t\tip saddr != %s drop", p.IP)
		line("\t\tip daddr %s tcp dport 80 accept", c.MetadataIP)
		line("\t\tct state established,related accept")
		line("\t\tct state invalid drop")
		writeRules(line, p.Rules, false)
		line("\t\tdrop")
		line("\t}")
		line("\tchain ingress-v%d {", p.VM)
		line("\t\tct state established,related accept")
		writeRules(line, p.Rules, true)
		line("\t\tdrop")
		line("\t}")
	}
	jumps := func(direction string) string {
		var to []string
		for _, p := range c.Ports {
			to = append(to, fmt.Sprintf("%q : jump %s-v%d", fmt.Sprintf("v%d", p.VM), direction, p.VM))
		}
		return strings.Join(to, ", ")
	}
	line("\tchain from-vm {")
	line("\t\ttype filter hook prerouting priority mangle; policy accept;")
	if len(c.Ports) > 0 {
		line("\t\tiifname vmap { %s }", jumps("egress"))
	}
	line("\t\tiifname \"v*\" drop")
	line("\t}")
	line("\tchain to-vm {")
	line("\t\ttype filter hook postrouting priority 150; policy accept;")
	if len(c.Ports) > 0 {
		line("\t\toifname vmap { %s }", jumps("ingress"))
	}
	line("\t\toifname \"v*\" drop")
	line("\t}")
}

// writeForward writes who may pass between the VMs and the internet.
func writeForward(line func(string, ...any), c routerConfig) {
	line("\tchain forward {")
	line("\t\ttype filter hook forward priority filter; policy drop;")
	if c.Attached {
		line("\t\tct state established,related accept")
		line("\t\tiifname \"up\" ct status & dnat == 0 drop")
		if !c.SNAT.IsValid() {
			// Without a public address there is no way out, nor to a
			// neighbour's public address.
			away := ""
			if len(c.Public) > 0 {
				away = "ip saddr != { " + join(c.Public, func(m mapping) string { return m.Private.String() }) + " } "
			}
			line("\t\tip saddr %s ct original ip daddr %s %sdrop", c.CIDR, internetCIDR, away)
		}
		line("\t\tiifname \"v*\" oifname \"up\" ip daddr %s accept", internetCIDR)
	} else {
		line("\t\tiifname \"up\" drop")
		line("\t\toifname \"up\" drop")
		line("\t\tct state established,related accept")
	}
	line("\t\toifname \"v*\" accept")
	line("\t}")
}

// writeNAT writes the translations of a router that is attached.
func writeNAT(line func(string, ...any), c routerConfig) {
	if !c.Attached {
		return
	}
	if len(c.Public) > 0 {
		line("\tchain nat-in {")
		line("\t\ttype nat hook prerouting priority dstnat; policy accept;")
		line("\t\tdnat to ip daddr map { %s }", join(c.Public, func(m mapping) string {
			return fmt.Sprintf("%s : %s", m.Public, m.Private)
		}))
		line("\t}")
	}
	line("\tchain nat-out {")
	line("\t\ttype nat hook postrouting priority srcnat; policy accept;")
	// To the internet, or to a neighbour by its public address.
	out := fmt.Sprintf("ip saddr %s ct original ip daddr %s", c.CIDR, internetCIDR)
	if len(c.Public) > 0 {
		line("\t\t%s snat to ip saddr map { %s }", out, join(c.Public, func(m mapping) string {
			return fmt.Sprintf("%s : %s", m.Private, m.Public)
		}))
	}
	if c.SNAT.IsValid() {
		line("\t\t%s snat to %s", out, c.SNAT)
	}
	line("\t}")
}

func writeRules(line func(string, ...any), rules []Rule, ingress bool) {
	for _, r := range rules {
		if r.Ingress != ingress || r.CIDR.IsValid() && !r.CIDR.Addr().Is4() {
			continue
		}
		line("\t\t%s", r.expression())
	}
}

// expression is a rule in the language of nft, with its verdict.
func (r Rule) expression() string {
	var parts []string
	if r.CIDR.IsValid() && r.CIDR.Bits() > 0 {
		side := "daddr"
		if r.Ingress {
			side = "saddr"
		}
		parts = append(parts, "ip", side, r.CIDR.Masked().String())
	}
	switch r.Protocol {
	case "":
	case "tcp", "udp":
		switch {
		case r.FromPort == 0 && (r.ToPort == 0 || r.ToPort == 65535):
			parts = append(parts, "meta l4proto", r.Protocol)
		case r.FromPort == r.ToPort:
			parts = append(parts, r.Protocol, "dport", fmt.Sprint(r.FromPort))
		default:
			parts = append(parts, r.Protocol, "dport", fmt.Sprintf("%d-%d", r.FromPort, r.ToPort))
		}
	case "icmp":
		parts = append(parts, "meta l4proto icmp")
		if r.FromPort >= 0 {
			parts = append(parts, "icmp type", fmt.Sprint(r.FromPort))
			if r.ToPort >= 0 {
				parts = append(parts, "icmp code", fmt.Sprint(r.ToPort))
			}
		}
	default:
		parts = append(parts, "meta l4proto", r.Protocol)
	}
	return strings.Join(append(parts, "accept"), " ")
}

func join(ms []mapping, text func(mapping) string) string {
	var parts []string
	for _, m := range ms {
		parts = append(parts, text(m))
	}
	return strings.Join(parts, ", ")
}

// addresses are what a router answers for on the internet.
func (c routerConfig) addresses() []netip.Addr {
	var as []netip.Addr
	if !c.Attached {
		return nil
	}
	if c.SNAT.IsValid() {
		as = append(as, c.SNAT)
	}
	for _, m := range c.Public {
		as = append(as, m.Public)
	}
	return as
}
