package mesh_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
)

// knock sends bytes to the introducer and returns all that comes back.
func knock(t *testing.T, from *meshtest.Host, say []byte) []byte {
	t.Helper()
	conn, err := from.Dial(t.Context(), netip.Addr{}, introducerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(t, conn)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = conn.Write(say) // it may be cut off
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("after %.20q: the connection was not closed: %v", say, err)
	}
	return got
}

func closeConn(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func clientHello(t *testing.T) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer closeConn(t, a)
	go func() {
		_ = tls.Client(b, &tls.Config{InsecureSkipVerify: true}).Handshake() // gets no answer
	}()
	buf := make([]byte, 4096)
	n, err := a.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

func TestStrangerGetsNoByte(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		<-intro.mesh.Ready()
		stranger := l.fabric.Host("stranger", netip.PrefixFrom(publicIP(200), 32))
		hash := mustRoots(t, l.ca).CAHash()
		right := mustPreface(t, hash, time.Now())
		other := mustPreface(t, mustRoots(t, newCA(t, "test")).CAHash(), time.Now())
		old := mustPreface(t, hash, time.Now().Add(-time.Hour))
		tests := []struct {
			name string
			say  []byte
		}{
			{"nothing", nil},
			{"one byte", []byte{1}},
			{"half a preface", right[:mesh.PrefaceSize/2]},
			{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 200))},
			{"TLS", clientHello(t)},
			{"zeros", make([]byte, 4096)},
			{"preface of another CA", append(other, clientHello(t)...)},
			{"preface an hour old", append(old, clientHello(t)...)},
		}
		for _, tt := range tests {
			if got := knock(t, stranger, tt.say); len(got) != 0 {
				t.Errorf("%s: got %d bytes back: %x", tt.name, len(got), got)
			}
		}
		// The right preface gets an answer, so the above means something; and the
		// same one again gets none.
		if got := knock(t, stranger, append(bytes.Clone(right), clientHello(t)...)); len(got) == 0 {
			t.Error("right preface: no answer")
		}
		if got := knock(t, stranger, append(bytes.Clone(right), clientHello(t)...)); len(got) != 0 {
			t.Errorf("replayed preface: got %d bytes back", len(got))
		}
		if got := intro.log.String(); !strings.Contains(got, "stranger refused") || !strings.Contains(got, "198.18.0.200") || !strings.Contains(got, "replayed") {
			t.Errorf("log does not say who knocked and why it was refused:\n%s", got)
		}
		intro.stop()
	})
}

func TestFloodDoesNotKeepOthersOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		reg := prometheus.NewRegistry()
		intro := l.introducer()
		intro.cfg.Registerer = reg
		intro.start()
		<-intro.mesh.Ready()
		stranger := l.fabric.Host("stranger", netip.PrefixFrom(publicIP(200), 32))
		var conns []net.Conn
		for range 1000 {
			c, err := stranger.Dial(t.Context(), netip.Addr{}, introducerAddr)
			if err != nil {
				break // the backlog is full
			}
			conns = append(conns, c)
		}
		a := l.add(2).start()
		eventually(t, 5*time.Second, "an honest node joins", func() bool { return allUp(intro, a) })
		for _, c := range conns {
			closeConn(t, c)
		}
		pause(time.Minute)
		if got := counter(t, reg, "cbnet_mesh_introductions_total", "limited"); got < 500 {
			t.Errorf("limited connections: got %v, want most of 1000", got)
		}
		intro.stop()
		a.stop()
		if got, err := reg.Gather(); err != nil || len(got) != 0 {
			t.Errorf("metrics left behind: %v, %v", got, err)
		}
	})
}

func TestOtherCARefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro := l.introducer().start()
		<-intro.mesh.Ready()
		host := func(name string, n int) *meshtest.Host {
			return l.fabric.Host(name, netip.PrefixFrom(publicIP(n), 32))
		}
		// A node of another mesh does not get past the preface.
		foreign := l.addOn(host("foreign", 50), newBundle(t, newCA(t, "other"), "foreign", 50)).start()
		// One that trusts our CA, but whose certificate is another's, gets to TLS:
		// its own daemon would not even start, so speak for it.
		forged := newBundle(t, newCA(t, "test"), "forged", 51)
		if err := tlsJoin(t, host("forged", 51), l.ca, forged); err == nil {
			t.Error("a certificate of another CA was let in")
		}
		// A certificate that has expired, of our own CA.
		old := newBundle(t, l.ca, "expired", 52)
		cert, err := l.ca.Issue(old.Certificate.PublicKey.(ed25519.PublicKey), identity.Grant{Node: "expired", IP: overlayIP(52)}, time.Now().Add(-48*time.Hour), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		old.Certificate = cert
		if err := tlsJoin(t, host("expired", 52), l.ca, old); err == nil {
			t.Error("an expired certificate was let in")
		}
		pause(10 * time.Second)
		log := intro.log.String()
		for _, want := range []string{
			`msg="stranger refused" remote=198.18.0.50`,
			`msg="node refused" peer=forged remote=198.18.0.51`,
			"not signed by this mesh's certificate authority",
			`msg="node refused" peer=expired remote=198.18.0.52`,
			"expired",
		} {
			if !strings.Contains(log, want) {
				t.Errorf("log lacks %q:\n%s", want, log)
			}
		}
		if got := foreign.log.String(); !strings.Contains(got, "another mesh") {
			t.Errorf("the foreign node does not say what is wrong:\n%s", got)
		}
		if got := len(intro.host.Config().Peers); got != 0 {
			t.Errorf("peers at the introducer: got %d, want 0", got)
		}
		intro.stop()
		foreign.stop()
	})
}

// tlsJoin asks for an introduction with a given certificate.
func tlsJoin(t *testing.T, from *meshtest.Host, ca *identity.CA, b *identity.Bundle) error {
	t.Helper()
	conn, err := from.Dial(t.Context(), netip.Addr{}, introducerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(t, conn)
	if _, err := conn.Write(mustPreface(t, mustRoots(t, ca).CAHash(), time.Now())); err != nil {
		return err
	}
	tc := tls.Client(conn, &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{b.Certificate.Raw}, PrivateKey: b.Key}},
	})
	if err := tc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	env := sign(t, b, identity.Record{Version: 1})
	if err := mesh.WriteFrame(tc, mesh.Request{Format: 1, Records: [][]byte{env}}, mesh.MaxRequest); err != nil {
		return err
	}
	_, err = mesh.ReadReply(tc)
	return err
}

// sign makes an envelope for a bundle's node.
func sign(t *testing.T, b *identity.Bundle, r identity.Record) []byte {
	t.Helper()
	r.Node = b.Certificate.Subject.CommonName
	if r.WireGuardKey == ([32]byte{}) {
		r.WireGuardKey = [32]byte{1, 2, 3}
	}
	env, err := identity.SignRecord(r, b.Key, b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// push sends a request to a member from another one's host, as a member that
// lies would.
func push(t *testing.T, from, to *node, q mesh.Request) {
	t.Helper()
	conn, err := from.host.Dial(t.Context(), from.mesh.Grant().IP, netip.AddrPortFrom(to.mesh.Grant().IP, mesh.GossipPort).String())
	if err != nil {
		t.Logf("push: %v", err) // its own lie has cut it off
		return
	}
	defer closeConn(t, conn)
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{mesh.Magic}); err != nil {
		t.Logf("push: %v", err) // no member any more
		return
	}
	q.Format = 1
	if err := mesh.WriteFrame(conn, q, mesh.MaxRequest); err != nil {
		t.Logf("push: %v", err) // refused while we wrote
		return
	}
	if _, err := mesh.ReadReply(conn); err != nil {
		t.Logf("push: %v", err)
	}
}

func TestLyingMember(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		reg := prometheus.NewRegistry()
		intro, honest, liar := l.introducer().start(), l.add(2), l.add(3).start()
		honest.cfg.Registerer = reg
		honest.start()
		all := []*node{intro, honest, liar}
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(all...) })
		pause(5 * time.Second)
		before := honest.host.Sets()
		version := uint64(time.Now().UnixMilli()) + 1000
		good := sign(t, liar.cfg.Bundle, identity.Record{Version: version, WireGuardKey: [32]byte{9}})
		forged := bytes.Clone(good)
		forged[len(forged)-1] ^= 1
		expired := newBundle(t, l.ca, "old", 60)
		cert, err := l.ca.Issue(expired.Certificate.PublicKey.(ed25519.PublicKey), identity.Grant{Node: "old", IP: overlayIP(60)}, time.Now().Add(-48*time.Hour), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		expired.Certificate = cert
		usurper := newBundle(t, newCA(t, "test"), "node-1", 1)
		tests := []struct {
			name    string
			env     []byte
			verdict string
		}{
			{"garbage", []byte("garbage"), "malformed"},
			{"nothing", nil, "malformed"},
			{"oversize", make([]byte, identity.MaxEnvelope+1), "oversize"},
			{"forged signature", forged, "forged"},
			{"other CA", sign(t, usurper, identity.Record{Version: version}), "untrusted"},
			{"expired", sign(t, expired, identity.Record{Version: version}), "expired"},
			{"replayed old version", sign(t, liar.cfg.Bundle, identity.Record{Version: 1}), "older"},
		}
		for _, tt := range tests {
			was := counter(t, reg, "cbnet_mesh_records_total", tt.verdict)
			push(t, liar, honest, mesh.Request{Records: [][]byte{tt.env}})
			if got := counter(t, reg, "cbnet_mesh_records_total", tt.verdict); got != was+1 {
				t.Errorf("%s: counted %v times as %s, want once", tt.name, got-was, tt.verdict)
			}
		}
		if got := honest.host.Sets(); got != before {
			t.Errorf("the device was set %d times on lies", got-before)
		}
		if !allUp(all...) {
			t.Error("lies have cut someone off")
		}
		for _, n := range all {
			n.stop()
		}
	})
}

func TestEqualVersionConflict(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro, a, liar := l.introducer().start(), l.add(2).start(), l.add(3).start()
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(intro, a, liar) })
		// A second machine with the same key speaks for another node.
		twin := newBundle(t, l.ca, "twin", 70)
		one := sign(t, twin, identity.Record{Version: 7, WireGuardKey: [32]byte{7}})
		two := sign(t, twin, identity.Record{Version: 7, WireGuardKey: [32]byte{8}})
		push(t, liar, a, mesh.Request{Records: [][]byte{one}})
		push(t, liar, a, mesh.Request{Records: [][]byte{two}})
		if got := a.peer("twin").Name; got != "twin" {
			t.Fatalf("first record was not taken")
		}
		for _, p := range a.host.Config().Peers {
			if p.PublicKey == [32]byte{8} {
				t.Error("a record of an equal version replaced the other")
			}
		}
		if got := a.log.String(); !strings.Contains(got, "two records of one version") {
			t.Errorf("conflict is not reported:\n%s", got)
		}
		for _, n := range []*node{intro, a, liar} {
			n.stop()
		}
	})
}

func TestStolenWireGuardKey(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLab(t)
		intro, a, victim, liar := l.introducer().start(), l.add(2).start(), l.add(3).start(), l.add(4).start()
		eventually(t, 5*time.Second, "all up", func() bool { return allUp(intro, a, victim, liar) })
		var stolen [32]byte
		for _, p := range a.host.Config().Peers {
			if p.AllowedIPs[0].Addr() == victim.mesh.Grant().IP {
				stolen = p.PublicKey
			}
		}
		push(t, liar, a, mesh.Request{Records: [][]byte{sign(t, liar.cfg.Bundle, identity.Record{
			Version: uint64(time.Now().UnixMilli()) + 1000, WireGuardKey: stolen})}})
		if !a.reaches(victim) || !victim.reaches(a) {
			t.Error("a stolen key cut the victim off")
		}
		if got := a.log.String(); !strings.Contains(got, `msg="peer refused" peer=node-4 reason="claims the WireGuard key of node-3"`) {
			t.Errorf("log does not say who lied:\n%s", got)
		}
		for _, n := range []*node{intro, a, victim, liar} {
			n.stop()
		}
	})
}

func mustRoots(t *testing.T, ca *identity.CA) *identity.Roots {
	t.Helper()
	r, err := identity.NewRoots(ca.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustPreface(t *testing.T, hash [32]byte, now time.Time) []byte {
	t.Helper()
	b, err := mesh.NewPreface(hash, now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// counter reads a metric with one label.
func counter(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	fams, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
