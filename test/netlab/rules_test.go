package netlab

import (
	"net/netip"
	"strings"
	"testing"
)

func TestRouterRules(t *testing.T) {
	lan := netip.MustParsePrefix("192.168.3.0/24")
	nat := netip.MustParseAddr("198.18.3.254")
	const (
		answers  = `iifname "up" ct state established,related accept`
		dnat     = `iifname "up" ct status dnat accept`
		drop4    = `iifname "up" meta nfproto ipv4 drop`
		easy     = "masquerade\n"
		hard     = "masquerade fully-random\n"
		input    = "\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tiifname \"up\" meta l4proto { 1, 58 } accept\n\t\tiifname \"up\" drop\n\t}\n"
		dropAll  = "\t\tiifname \"up\" drop\n\t}\n\tchain input"
		natTable = "table ip netlab-nat {"
	)
	tests := []struct {
		name       string
		rules      routerRules
		want, none []string
	}{
		{"none", routerRules{}, []string{input}, []string{"ct ", natTable, dropAll}},
		{"firewall", routerRules{opts: SiteOptions{Firewall: true}}, []string{answers, dropAll}, []string{dnat, natTable}},
		{"easy", routerRules{opts: SiteOptions{NAT: NATEasy}}, []string{answers, dnat, drop4, easy}, []string{hard, dropAll}},
		{"hard", routerRules{opts: SiteOptions{NAT: NATHard}}, []string{answers, drop4, hard}, []string{easy, dropAll}},
		{"easy, firewall", routerRules{opts: SiteOptions{NAT: NATEasy, Firewall: true}}, []string{answers, dnat, easy, dropAll}, []string{drop4}},
		{"1:1", routerRules{opts: SiteOptions{NAT: NATOneToOne}, pairs: []mapping{
			{netip.MustParseAddr("198.18.3.2"), netip.MustParseAddr("192.168.3.2")}, {netip.MustParseAddr("198.18.3.3"), netip.MustParseAddr("192.168.3.3")},
		}}, []string{
			"dnat to ip daddr map { 198.18.3.2 : 192.168.3.2, 198.18.3.3 : 192.168.3.3 }",
			"ip saddr 192.168.3.0/24 ct original ip daddr != 192.168.3.0/24 snat to ip saddr map { 192.168.3.2 : 198.18.3.2, 192.168.3.3 : 198.18.3.3 }",
		}, []string{answers, dropAll, "masquerade"}},
		{"1:1 without hosts", routerRules{opts: SiteOptions{NAT: NATOneToOne}}, []string{natTable}, []string{"map"}},
		{"no UDP", routerRules{opts: SiteOptions{BlockUDP: true}}, []string{`iifname "up" meta l4proto udp drop`, `oifname "up" meta l4proto udp drop`}, nil},
		{"forwarded port", routerRules{opts: SiteOptions{NAT: NATEasy}, ports: []portForward{{"tcp", 7950, netip.MustParseAddrPort("192.168.3.2:80")}}},
			[]string{"ip daddr 198.18.3.254 tcp dport 7950 dnat to 192.168.3.2:80"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.rules.lan, tt.rules.nat = lan, nat
			got := tt.rules.text()
			for _, w := range tt.want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in\n%s", w, got)
				}
			}
			for _, n := range tt.none {
				if strings.Contains(got, n) {
					t.Errorf("%q in\n%s", n, got)
				}
			}
		})
	}
}

func TestDropRules(t *testing.T) {
	tests := []struct {
		name    string
		drop    Drop
		in, out string // the rule of each direction; "" = none
		err     bool
	}{
		{"all", Drop{}, `iifname "eth0" drop`, `oifname "eth0" drop`, false},
		{"UDP port", BlackholeUDP(51820), `iifname "eth0" meta l4proto udp udp dport 51820 drop`, `oifname "eth0" meta l4proto udp udp sport 51820 drop`, false},
		{"remote port", Drop{Protocol: "tcp", RemotePort: 7950, OutOnly: true}, "", `oifname "eth0" meta l4proto tcp tcp dport 7950 drop`, false},
		{"address", DropAddr(netip.MustParseAddr("198.18.1.2")), `iifname "eth0" ip saddr 198.18.1.2/32 drop`, `oifname "eth0" ip daddr 198.18.1.2/32 drop`, false},
		{"IPv6 prefix, in", Drop{Remote: netip.MustParsePrefix("2001:db8:1::2/64"), InOnly: true}, `iifname "eth0" ip6 saddr 2001:db8:1::/64 drop`, "", false},
		{"ICMP", Drop{Protocol: "icmp"}, `iifname "eth0" meta l4proto { 1, 58 } drop`, `oifname "eth0" meta l4proto { 1, 58 } drop`, false},
		{"unknown protocol", Drop{Protocol: "sctp"}, "", "", true},
		{"port of no protocol", Drop{Port: 1}, "", "", true},
		{"port of ICMP", Drop{Protocol: "icmp", RemotePort: 1}, "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := dropRules([]Drop{tt.drop})
			if (err != nil) != tt.err {
				t.Fatalf("error %v, want one: %t", err, tt.err)
			}
			for dev, want := range map[string]string{"iifname": tt.in, "oifname": tt.out} {
				if want == "" && strings.Contains(got, dev) || !strings.Contains(got, want+"\n") && want != "" {
					t.Errorf("want %q in\n%s", want, got)
				}
			}
		})
	}
}

func TestNth(t *testing.T) {
	tests := []struct {
		prefix string
		n      int
		want   string
	}{
		{"192.168.1.0/24", 2, "192.168.1.2"},
		{"10.0.0.0/16", 300, "10.0.1.44"},
		{"10.0.5.7/16", 65534, "10.0.255.254"},
		{"2001:db8:1::/64", 1, "2001:db8:1::1"},
	}
	for _, tt := range tests {
		if got := nth(netip.MustParsePrefix(tt.prefix), tt.n); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%d of %s: %s, want %s", tt.n, tt.prefix, got, tt.want)
		}
	}
}
