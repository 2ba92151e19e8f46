package netlab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// portForward maps a port of a site's public address.
type portForward struct {
	protocol string
	port     uint16
	to       netip.AddrPort
}

// mapping is the 1:1 NAT of a host.
type mapping struct{ public, private netip.Addr }

// routerRules is what the packet filter and NAT of a router are made from.
type routerRules struct {
	opts  SiteOptions
	lan   netip.Prefix
	nat   netip.Addr
	pairs []mapping
	ports []portForward
}

// filterLocked loads the router's rules.
func (s *Site) filterLocked() error {
	r := routerRules{opts: s.opts, lan: s.lan, nat: s.nat, ports: s.ports}
	if s.opts.NAT == NATOneToOne {
		for _, h := range s.hosts {
			h.mu.Lock()
			r.pairs = append(r.pairs, mapping{h.public, h.addr})
			h.mu.Unlock()
		}
	}
	return s.lab.load(s.ns, r.text())
}

// nftTimeout bounds one run of nft(8).
const nftTimeout = 20 * time.Second

// load replaces the rules of a namespace in one step.
func (l *Lab) load(n *namespaces, rules string) error {
	ctx, cancel := context.WithTimeout(context.Background(), nftTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, l.nft, "-f", "-")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(rules), &out, &out
	err := l.spawner.start(n, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("nft: %w: %s\n%s", err, out.Bytes(), rules)
	}
	return nil
}

// text is the whole rule set in the language of nft(8). Where nothing asks for
// conntrack there is none, which makes an open site's router much cheaper.
//
// What is not let in is dropped before conntrack confirms it: a packet that
// comes too early leaves no trace that would take the port from the host's own
// flow later, which is what lets two easy NATs be punched.
func (r routerRules) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("table inet netlab")
	line("delete table inet netlab")
	line("table inet netlab {")
	line("\tchain forward {")
	line("\t\ttype filter hook forward priority filter; policy accept;")
	if r.opts.BlockUDP {
		line("\t\tiifname %q meta l4proto udp drop", upName)
		line("\t\toifname %q meta l4proto udp drop", upName)
	}
	if r.opts.Firewall || r.shared() {
		line("\t\tiifname %q ct state established,related accept", upName)
	}
	if r.shared() { // forwarded ports
		line("\t\tiifname %q ct status dnat accept", upName)
	}
	switch {
	case r.opts.Firewall:
		line("\t\tiifname %q drop", upName)
	case r.shared():
		line("\t\tiifname %q meta nfproto ipv4 drop", upName)
	}
	line("\t}")
	line("\tchain input {")
	line("\t\ttype filter hook input priority filter; policy accept;")
	line("\t\tiifname %q meta l4proto %s accept", upName, icmpNumbers)
	line("\t\tiifname %q drop", upName)
	line("\t}")
	line("}")
	line("table ip netlab-nat")
	line("delete table ip netlab-nat")
	if r.opts.NAT != NATNone {
		r.writeNAT(line)
	}
	return b.String()
}

// shared reports whether hosts share a public address.
func (r routerRules) shared() bool { return r.opts.NAT == NATEasy || r.opts.NAT == NATHard }

func (r routerRules) writeNAT(line func(string, ...any)) {
	line("table ip netlab-nat {")
	line("\tchain in {")
	line("\t\ttype nat hook prerouting priority dstnat; policy accept;")
	if len(r.pairs) > 0 {
		line("\t\tdnat to ip daddr map { %s }", join(r.pairs, func(m mapping) string { return fmt.Sprintf("%s : %s", m.public, m.private) }))
	}
	for _, p := range r.ports {
		line("\t\tip daddr %s %s dport %d dnat to %s", r.nat, p.protocol, p.port, p.to)
	}
	line("\t}")
	line("\tchain out {")
	line("\t\ttype nat hook postrouting priority srcnat; policy accept;")
	if len(r.pairs) > 0 { // to the internet, or to a neighbour by its public address
		line("\t\tip saddr %s ct original ip daddr != %s snat to ip saddr map { %s }", r.lan, r.lan,
			join(r.pairs, func(m mapping) string { return fmt.Sprintf("%s : %s", m.private, m.public) }))
	}
	switch r.opts.NAT {
	case NATEasy:
		line("\t\tip saddr %s oifname %q masquerade", r.lan, upName)
	case NATHard:
		line("\t\tip saddr %s oifname %q masquerade fully-random", r.lan, upName)
	}
	line("\t}")
	line("}")
}

func join[T any](list []T, text func(T) string) string {
	var parts []string
	for _, x := range list {
		parts = append(parts, text(x))
	}
	return strings.Join(parts, ", ")
}

// icmpNumbers are ICMP and ICMPv6: nft(8) looks the name of the latter up in
// /etc/protocols, which a small system does not have.
const icmpNumbers = "{ 1, 58 }"
