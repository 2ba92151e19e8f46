package mesh

import (
	"net"
	"net/netip"
	"testing"
)

func TestInsideTunnel(t *testing.T) {
	lan, tunnel := net.FlagUp|net.FlagBroadcast, net.FlagUp|net.FlagPointToPoint
	tests := []struct {
		name  string
		flags net.Flags
		ip    string
		want  bool
	}{
		{"a LAN", lan, "10.1.2.3", false},
		{"a LAN, IPv6", lan, "fd00::1", false},
		{"another VPN", tunnel, "10.8.0.2", true},
		{"another VPN, IPv6", tunnel, "fd7a::1", true},
		{"a VPN in the shared range", tunnel, "100.101.102.103", true},
		{"an uplink by PPP", tunnel, "203.0.113.7", false},
		{"an uplink by PPP, IPv6", tunnel, "2001:db8::7", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := insideTunnel(net.Interface{Flags: tt.flags}, netip.MustParseAddr(tt.ip)); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}
