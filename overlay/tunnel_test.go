package overlay_test

import (
	"net/netip"
	"testing"

	"github.com/cbnet-io/cbnet/overlay"
)

func mustKey(t *testing.T) overlay.Key {
	t.Helper()
	k, err := overlay.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func prefixes(ss ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestTunnel(t *testing.T) {
	if !insideLab(t) {
		return
	}
	a, b := newHost(t, "a"), newHost(t, "b")
	link(t, a, b, []string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.2/24", "2001:db8::2/64"})
	ka, kb := mustKey(t), mustKey(t)
	routes := prefixes("10.66.0.0/16", "fd66::/64")
	ca := overlay.Config{PrivateKey: ka, Port: 51820, Addresses: prefixes("10.66.0.1/32", "fd66::1/128"), Routes: routes,
		Peers: []overlay.Peer{{PublicKey: kb.Public(), Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), AllowedIPs: prefixes("10.66.0.2/32", "fd66::2/128")}}}
	cb := overlay.Config{PrivateKey: kb, Port: 51820, Addresses: prefixes("10.66.0.2/32", "fd66::2/128"), Routes: routes,
		Peers: []overlay.Peer{{PublicKey: ka.Public(), AllowedIPs: prefixes("10.66.0.1/32", "fd66::1/128")}}}
	for _, h := range []*host{a, b} {
		h.do(call{Op: "open", Options: overlay.Options{Interface: "cbn0"}})
	}
	a.do(call{Op: "set", Config: ca})
	b.do(call{Op: "set", Config: cb})
	t.Log(a.run("ping", "-c1", "-W3", "10.66.0.2"))
	t.Log(a.run("ping", "-c1", "-W3", "fd66::2"))
	t.Log(a.run("ip", "-d", "addr"))
	t.Log(a.run("ip", "route"))
	t.Log(a.run("wg", "show"))
}
