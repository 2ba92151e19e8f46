package overlay_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/cbnet-io/cbnet/overlay"
)

func TestValidate(t *testing.T) {
	good := overlay.Config{PrivateKey: priv, Port: 51820, Addresses: prefixes("10.66.0.1/32", "fd66::1/128"),
		Routes: prefixes("10.66.0.0/16", "fd66::/64"), Peers: []overlay.Peer{
			{PublicKey: keyA, Endpoint: ep("192.0.2.1:1"), AllowedIPs: prefixes("10.66.0.2/32", "192.168.1.0/24"), Keepalive: 25 * time.Second},
			{PublicKey: keyB, AllowedIPs: prefixes("10.66.0.3/32")},
		}}
	tests := []struct {
		name   string
		change func(*overlay.Config)
		want   []string // substrings, one for each fault in the order reported; none: valid
	}{
		{"good", func(*overlay.Config) {}, nil},
		{"zero", func(c *overlay.Config) { *c = overlay.Config{} }, []string{"privateKey: missing"}},
		{"port", func(c *overlay.Config) { c.Port = 65536 }, []string{"port: 65536"}},
		{"mtu", func(c *overlay.Config) { c.MTU = 100; c.Addresses, c.Routes = nil, nil }, []string{"mtu: 100"}},
		{"mtu too small for IPv6", func(c *overlay.Config) { c.MTU = 1200 }, []string{"IPv6 address fd66::1", "IPv6 route fd66::/64"}},
		{"address with network", func(c *overlay.Config) { c.Addresses = prefixes("10.66.0.1/16") }, []string{"addresses[0]: 10.66.0.1/16"}},
		{"mapped address", func(c *overlay.Config) { c.Addresses = prefixes("::ffff:10.66.0.1/128") }, []string{"addresses[0]"}},
		{"no address", func(c *overlay.Config) { c.Addresses = []netip.Prefix{{}} }, []string{"addresses[0]: invalid Prefix"}},
		{"route with host bits", func(c *overlay.Config) { c.Routes = prefixes("10.66.0.1/16") }, []string{"routes[0]: 10.66.0.1/16 has bits set behind its length; 10.66.0.0/16 is meant"}},
		{"default route", func(c *overlay.Config) { c.Routes = prefixes("::/0"); c.Peers = nil }, []string{"routes[0]: route ::/0 overlaps ::/0, the host's default route"}},
		{"metadata", func(c *overlay.Config) { c.Routes = prefixes("169.254.169.254/32") }, []string{"metadata"}},
		{"half the world", func(c *overlay.Config) { c.Routes = prefixes("0.0.0.0/1"); c.Peers = nil }, []string{"the loopback network"}},
		{"own key", func(c *overlay.Config) { c.Peers[0].PublicKey = priv.Public() }, []string{"peers[0] " + priv.Public().String() + ": publicKey: is this node's own"}},
		{"two peers of one key", func(c *overlay.Config) { c.Peers[1].PublicKey = keyA }, []string{"peers[1]"}},
		{"no key", func(c *overlay.Config) { c.Peers[1].PublicKey = overlay.Key{} }, []string{"publicKey: missing"}},
		{"one prefix, two peers", func(c *overlay.Config) { c.Peers[1].AllowedIPs = prefixes("192.168.1.0/24") }, []string{"192.168.1.0/24 also belongs to peers[0]"}},
		{"half seconds", func(c *overlay.Config) { c.Peers[0].Keepalive = 1500 * time.Millisecond }, []string{"keepalive: 1.5s"}},
		{"endpoint without port", func(c *overlay.Config) { c.Peers[0].Endpoint = ep("192.0.2.1:0") }, []string{"endpoint: 192.0.2.1:0"}},
		{"endpoint nowhere", func(c *overlay.Config) { c.Peers[0].Endpoint = ep("[::]:5") }, []string{"endpoint: [::]:5"}},
		{"endpoint in the overlay", func(c *overlay.Config) { c.Peers[0].Endpoint = ep("[fd66::2]:5") }, []string{"route fd66::/64 overlaps fd66::2/128, the endpoint [fd66::2]:5 of peer " + keyA.String()}},
		{"all at once", func(c *overlay.Config) {
			c.Port, c.MTU, c.Peers[0].Keepalive = -1, 1, -1
		}, []string{"port: -1", "mtu: 1", "mtu: 1", "mtu: 1", "keepalive: -1ns"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			c.Peers = append([]overlay.Peer(nil), good.Peers...)
			tt.change(&c)
			err := c.Validate()
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tt.want) {
				t.Fatalf("faults %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("fault %q, want %q", got[i], tt.want[i])
				}
			}
			if err != nil && strings.Contains(err.Error(), priv.String()) {
				t.Error("the error holds the private key")
			}
		})
	}
}

func TestCollision(t *testing.T) {
	host := []overlay.Network{
		{Prefix: "0.0.0.0/0", Link: "eth0"},
		{Prefix: "::/0", Link: "eth0"},
		{Prefix: "192.168.1.0/24", Link: "eth0", Connected: true},
		{Prefix: "10.128.0.1/32", Link: "eth0", Connected: true},
		{Prefix: "10.0.0.0/8", Link: "eth1"},
		{Prefix: "2001:db8::/64", Link: "eth0", Connected: true},
	}
	tests := []struct{ name, route, want string }{
		{"free", "172.16.0.0/12", ""},
		{"free IPv6", "fd66::/64", ""},
		{"inside what a gateway reaches", "10.66.0.0/16", ""},
		{"the LAN", "192.168.1.0/24", "route 192.168.1.0/24 overlaps 192.168.1.0/24, the network of interface eth0"},
		{"around the LAN", "192.168.0.0/16", "overlaps 192.168.1.0/24, the network of interface eth0"},
		{"a part of the LAN", "192.168.1.128/25", "overlaps 192.168.1.0/24, the network of interface eth0"},
		{"the next hop", "10.128.0.0/16", "overlaps 10.128.0.1/32"},
		{"routed elsewhere", "10.0.0.0/8", "the network of interface eth0"}, // it also holds the next hop
		{"IPv6 LAN", "2001:db8::/32", "overlaps 2001:db8::/64"},
		{"default", "0.0.0.0/0", "overlaps 0.0.0.0/0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := overlay.Collision(netip.MustParsePrefix(tt.route), host)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var re *overlay.RouteError
			if !errors.As(err, &re) || !errors.Is(err, overlay.ErrRoute) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a RouteError with %q", err, tt.want)
			}
		})
	}
}

func TestAdoption(t *testing.T) {
	tests := []struct {
		name         string
		exists, ours bool
		kind         string
		datapath     overlay.Datapath
		want         string
	}{
		{"nothing there", false, false, "", overlay.Auto, "create"},
		{"our crash", true, true, "wireguard", overlay.Auto, "adopt"},
		{"our crash, kernel asked for", true, true, "wireguard", overlay.Kernel, "adopt"},
		{"our crash, userspace asked for", true, true, "wireguard", overlay.Userspace, "replace"},
		{"our persistent TUN", true, true, "tuntap", overlay.Auto, "replace"},
		{"wg-quick's", true, false, "wireguard", overlay.Auto, "refuse"},
		{"a LAN card", true, false, "device", overlay.Userspace, "refuse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := overlay.Adoption(tt.exists, tt.ours, tt.kind, tt.datapath); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    overlay.Options
		want string
	}{
		{"no name", overlay.Options{}, `interface name ""`},
		{"long name", overlay.Options{Interface: "sixteen-letters-"}, "1 to 15"},
		{"path", overlay.Options{Interface: "../etc"}, "interface name"},
		{"space", overlay.Options{Interface: "a b"}, "interface name"},
		{"datapath", overlay.Options{Interface: "cbn0", Datapath: "warp"}, `datapath "warp"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := overlay.Open(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	for range 20 {
		k := mustKey(t)
		if want := wgtypes.Key(k).PublicKey(); overlay.Key(want) != k.Public() {
			t.Fatalf("public key of another: %s, want %s", k.Public(), want)
		}
		if back, err := overlay.ParseKey(k.String()); err != nil || back != k {
			t.Fatalf("a key does not survive its text: %v", err)
		}
	}
	if !(overlay.Key{}).Public().IsZero() {
		t.Error("the zero key has a public key")
	}
}

func TestRedact(t *testing.T) {
	k := priv
	hexKey := strings.Repeat("ab", 32)
	for _, s := range []string{k.String(), hexKey} {
		for _, line := range []string{"peer " + s + " sent", `failed to parse line "` + s[:9] + `"`, "private_key=" + s[:20], "set preshared_key: invalid byte " + s[:9]} {
			if got := overlay.Redact(line); strings.Contains(got, s[:9]) || !strings.Contains(got, "REDACTED") {
				t.Errorf("%q became %q", line, got)
			}
		}
	}
	if got := overlay.Redact("UDP bind has been updated"); got != "UDP bind has been updated" {
		t.Errorf("harmless line became %q", got)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("")
	f.Add(priv.String())
	f.Add(keyA.String() + "\n")
	f.Add(strings.Repeat("A", 44))
	f.Fuzz(func(t *testing.T, s string) {
		k, err := overlay.ParseKey(s)
		if err != nil {
			if len(s) > 8 && strings.Contains(err.Error(), s) {
				t.Errorf("the error repeats its input")
			}
			return
		}
		if back, err := overlay.ParseKey(k.String()); err != nil || back != k {
			t.Errorf("%q: key %s does not survive its text", s, k)
		}
	})
}
