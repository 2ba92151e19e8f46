package overlay_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

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

// pair is two hosts with devices and configs that name each other; only a
// knows where the other is, at b.
type pair struct {
	a, b   *host
	ca, cb overlay.Config
}

func newPair(t *testing.T, o overlay.Options, b netip.AddrPort) *pair {
	t.Helper()
	p := &pair{a: newHost(t, "a"), b: newHost(t, "b")}
	link(t, p.a, p.b, []string{"192.0.2.1/24", "2001:db8::1/64"}, []string{"192.0.2.2/24", "2001:db8::2/64"})
	ka, kb := mustKey(t), mustKey(t)
	routes := prefixes("10.66.0.0/16", "fd66::/64")
	p.ca = overlay.Config{PrivateKey: ka, Port: 51820, Addresses: prefixes("10.66.0.1/32", "fd66::1/128"), Routes: routes,
		Peers: []overlay.Peer{{PublicKey: kb.Public(), Endpoint: b, AllowedIPs: prefixes("10.66.0.2/32", "fd66::2/128")}}}
	p.cb = overlay.Config{PrivateKey: kb, Port: 51820, Addresses: prefixes("10.66.0.2/32", "fd66::2/128"), Routes: routes,
		Peers: []overlay.Peer{{PublicKey: ka.Public(), AllowedIPs: prefixes("10.66.0.1/32", "fd66::1/128")}}}
	for _, h := range []*host{p.a, p.b} {
		h.do(call{Op: "open", Options: o})
	}
	p.set()
	for _, a := range p.ca.Addresses {
		answers(t, p.a, a.Addr())
	}
	for _, a := range p.cb.Addresses {
		answers(t, p.b, a.Addr())
	}
	return p
}

func (p *pair) set() {
	p.a.t.Helper()
	p.a.do(call{Op: "set", Config: p.ca})
	p.b.do(call{Op: "set", Config: p.cb})
}

// ping sends from h and reports whether an answer came.
func ping(h *host, to string) bool {
	h.t.Helper()
	return h.try(call{Op: "run", Args: []string{"ping", "-n", "-c1", "-W2", to}}).Err == ""
}

// endpoint returns where h sends its only peer's packets.
func endpoint(t *testing.T, h *host) netip.AddrPort {
	t.Helper()
	ps := h.do(call{Op: "peers"}).Peers
	if len(ps) != 1 {
		t.Fatalf("%d peers, want 1", len(ps))
	}
	return ps[0].Endpoint
}

func TestTunnel(t *testing.T) {
	if insideLab(t) {
		checkTunnel(t, overlay.Options{Interface: "cbn0"})
	}
}

func TestTunnelNoOffload(t *testing.T) {
	if insideLab(t) {
		checkTunnel(t, overlay.Options{Interface: "cbn0", Datapath: overlay.Userspace, NoOffload: true})
	}
}

func checkTunnel(t *testing.T, o overlay.Options) {
	for _, e := range []string{"192.0.2.2:51820", "[2001:db8::2]:51820"} {
		t.Run(e, func(t *testing.T) { checkTunnelBy(t, o, ep(e)) })
	}
}

func checkTunnelBy(t *testing.T, o overlay.Options, e netip.AddrPort) {
	p := newPair(t, o, e)
	for _, to := range []string{"10.66.0.2", "fd66::2"} {
		if !ping(p.a, to) {
			t.Errorf("no ping to %s", to)
		}
	}
	for _, addr := range []string{"10.66.0.2:7", "[fd66::2]:7"} {
		p.b.do(call{Op: "echo", Args: []string{addr}})
		for _, network := range []string{"tcp", "udp"} {
			if r := p.a.try(call{Op: "dial", Args: []string{network, addr}}); r.Err != "" {
				t.Errorf("%s to %s: %s", network, addr, r.Err)
			}
		}
	}
	if got := endpoint(t, p.a); got != e {
		t.Errorf("endpoint %s, want %s", got, e)
	}
	s := p.a.do(call{Op: "peers"}).Peers[0]
	if time.Since(s.LastHandshake) > time.Minute || s.RxBytes < 2<<20 || s.TxBytes < 2<<20 {
		t.Errorf("status %+v: want a handshake just now and 2 MiB each way", s)
	}
	p.a.do(call{Op: "close"})
	if r := p.a.try(call{Op: "run", Args: []string{"ip", "link", "show", "cbn0"}}); r.Err == "" {
		t.Errorf("the interface outlives Close: %s", r.Out)
	}
}

func TestRoamingEndpointStays(t *testing.T) {
	if !insideLab(t) {
		return
	}
	p := newPair(t, overlay.Options{Interface: "cbn0"}, ep("192.0.2.2:51820"))
	if !ping(p.a, "10.66.0.2") {
		t.Fatal("no ping")
	}
	// b moves to another port and speaks; a must follow, and stay there.
	p.cb.Port = 40000
	p.b.do(call{Op: "set", Config: p.cb})
	if !ping(p.b, "10.66.0.1") {
		t.Fatal("no ping from the new port")
	}
	for range 3 {
		p.a.do(call{Op: "set", Config: p.ca})
		if got, want := endpoint(t, p.a), ep("192.0.2.2:40000"); got != want {
			t.Fatalf("endpoint %s after an equal Set, want the learned %s", got, want)
		}
	}
	p.ca.Peers[0].Endpoint = ep("[2001:db8::2]:40000")
	p.a.do(call{Op: "set", Config: p.ca})
	if got, want := endpoint(t, p.a), p.ca.Peers[0].Endpoint; got != want {
		t.Errorf("endpoint %s, want the newly wanted %s", got, want)
	}
	if !ping(p.a, "10.66.0.2") {
		t.Error("no ping by the new endpoint")
	}
}

func TestAllowedIPTakenAway(t *testing.T) {
	if !insideLab(t) {
		return
	}
	p := newPair(t, overlay.Options{Interface: "cbn0"}, ep("192.0.2.2:51820"))
	less := p.ca.Peers[0].AllowedIPs
	more := append(prefixes("10.66.7.0/24"), less...)
	p.cb.Addresses = append(p.cb.Addresses, prefixes("10.66.7.7/32")...)
	p.b.do(call{Op: "set", Config: p.cb})

	if ping(p.a, "10.66.7.7") {
		t.Fatal("a prefix works before it is allowed")
	}
	const rounds = 100
	flood := make(chan reply, 1)
	go func() {
		flood <- p.a.beside("ping", "-n", "-q", "-i", "0.005", "-c", "400", "10.66.0.2")
	}()
	for i := range rounds {
		p.ca.Peers[0].AllowedIPs = more
		p.a.do(call{Op: "set", Config: p.ca})
		if i%20 == 0 && !ping(p.a, "10.66.7.7") {
			t.Fatal("no ping to an allowed prefix")
		}
		p.ca.Peers[0].AllowedIPs = less
		p.a.do(call{Op: "set", Config: p.ca})
	}
	if ping(p.a, "10.66.7.7") {
		t.Error("a prefix works after it was taken away")
	}
	if r := <-flood; !strings.Contains(r.Out, " 0% packet loss") {
		t.Errorf("packets to another prefix of the peer were lost: %s %s", r.Err, r.Out)
	}
	if n := len(p.a.do(call{Op: "peers"}).Peers); n != 1 {
		t.Errorf("%d peers are left, want 1", n)
	}
}
