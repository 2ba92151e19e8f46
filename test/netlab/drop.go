package netlab

import (
	"fmt"
	"net/netip"
	"strings"
)

// Drop says which packets a host loses without a word, in both directions. Zero
// fields match anything.
type Drop struct {
	Protocol   string       // "tcp", "udp", "icmp" (both families)
	Port       uint16       // of the host; tcp and udp only
	RemotePort uint16       // of the other side; tcp and udp only
	Remote     netip.Prefix // the other side's address
	InOnly     bool         // what the host sends passes
	OutOnly    bool         // what comes to the host passes
}

// BlackholeUDP drops what comes to or leaves from a UDP port of the host.
func BlackholeUDP(port uint16) Drop { return Drop{Protocol: "udp", Port: port} }

// DropAddr drops everything from and to an address.
func DropAddr(a netip.Addr) Drop { return Drop{Remote: netip.PrefixFrom(a, a.BitLen())} }

// SetDrops replaces the drop rules of the host, in one step; none lets everything
// pass. They apply to eth0 alone, so not to what a tunnel carries.
func (h *Host) SetDrops(drops ...Drop) error {
	rules, err := dropRules(drops)
	if err == nil {
		err = h.lab.load(h.ns, rules)
	}
	if err != nil {
		return fmt.Errorf("drop rules of host %s: %w", h.Name, err)
	}
	return nil
}

// dropRules is the whole rule set in the language of nft(8). It lies before
// conntrack.
func dropRules(drops []Drop) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table inet netlab")
	line("delete table inet netlab")
	line("table inet netlab {")
	for _, in := range []bool{true, false} {
		chain, hook, dev := "output", "output", "oifname"
		if in {
			chain, hook, dev = "input", "prerouting", "iifname"
		}
		line("\tchain %s {", chain)
		line("\t\ttype filter hook %s priority raw; policy accept;", hook)
		for _, d := range drops {
			match, err := d.match(in)
			if err != nil {
				return "", err
			}
			if in && d.OutOnly || !in && d.InOnly {
				continue
			}
			line("\t\t%s %q %sdrop", dev, hostLink, match)
		}
		line("\t}")
	}
	line("}")
	return b.String(), nil
}

// match is the condition, for one direction, with a space at its end.
func (d Drop) match(in bool) (string, error) {
	var b strings.Builder
	local, remote := "sport", "dport"
	side := "daddr"
	if in {
		local, remote, side = "dport", "sport", "saddr"
	}
	if d.Remote.IsValid() {
		family := "ip"
		if d.Remote.Addr().Is6() {
			family = "ip6"
		}
		fmt.Fprintf(&b, "%s %s %s ", family, side, d.Remote.Masked())
	}
	switch d.Protocol {
	case "tcp", "udp":
		fmt.Fprintf(&b, "meta l4proto %s ", d.Protocol)
	case "icmp":
		b.WriteString("meta l4proto " + icmpNumbers + " ")
	case "":
	default:
		return "", fmt.Errorf("protocol %q: want tcp, udp, icmp or none", d.Protocol)
	}
	if d.Protocol != "tcp" && d.Protocol != "udp" && (d.Port != 0 || d.RemotePort != 0) {
		return "", fmt.Errorf("port with protocol %q: want tcp or udp", d.Protocol)
	}
	if d.Port != 0 {
		fmt.Fprintf(&b, "%s %s %d ", d.Protocol, local, d.Port)
	}
	if d.RemotePort != 0 {
		fmt.Fprintf(&b, "%s %s %d ", d.Protocol, remote, d.RemotePort)
	}
	return b.String(), nil
}
