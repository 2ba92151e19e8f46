package attack_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
)

// Ports on a node's overlay address, and the introducer's.
const (
	gossipPort  = 7946
	apiPort     = 7947
	metricsPort = 9586
	dnsPort     = 53
)

// Bounds on what an attack may cost an honest daemon.
const (
	allowedRSS   = 24 << 20 // bytes more, at the end
	allowedLines = 150      // of log
)

// TestAttackOnDaemons has an insider and a stranger attack at the same time.
func TestAttackOnDaemons(t *testing.T) {
	f := newField(t)
	names := f.sniff(3 * time.Second)
	rss, device, lines := map[*node]int{}, map[*node]string{}, map[*node]int{}
	before := map[*node]map[string]float64{}
	for _, n := range f.honest {
		device[n], before[n], lines[n] = f.device(n), f.metrics(n), strings.Count(n.daemon.Log(), "\n")
	}
	for _, n := range f.honest {
		rss[n] = f.rss(n)
	}
	f.flow()
	f.borrows()
	count := 10_000
	if testing.Short() {
		count = 3000
	}
	var wg sync.WaitGroup
	wg.Go(func() { f.garbage(count) })
	wg.Go(func() { f.lies(names) })
	wg.Go(func() { f.holds() })
	wg.Wait()
	<-time.After(6 * time.Second) // until what was held is given up
	sent, lost := f.lost()
	t.Logf("FIGURE e2e/attack: %d garbage connections to the introducer, and an insider: %d probes between honest nodes, %d lost (bound 0)", count, sent, lost)
	for _, n := range f.honest {
		grown := f.rss(n) - rss[n]
		t.Logf("FIGURE e2e/attack: %s: RSS from %.1f by %.1f MiB (bound %d)", n.name, float64(rss[n])/(1<<20), float64(grown)/(1<<20), allowedRSS>>20)
		if grown > allowedRSS {
			t.Errorf("%s has grown from %d by %d bytes", n.name, rss[n], grown)
		}
		if got := f.device(n); got != device[n] {
			t.Errorf("%s was\n%s\nand is\n%s", n.name, device[n], got)
		}
		f.quiet(n, lines[n])
		f.counts(n, before[n])
	}
}

// quiet checks that a daemon's log has neither grown much nor holds a secret.
func (f *field) quiet(n *node, before int) {
	f.t.Helper()
	log := n.daemon.Log()
	if got := strings.Count(log, "\n") - before; got > allowedLines {
		f.t.Errorf("%s has logged %d lines, want at most %d:\n%.2000s", n.name, got, allowedLines, log)
	}
	if key := base64.StdEncoding.EncodeToString(bundleOf(f.t, n).Key.Seed()); strings.Contains(log, key) {
		f.t.Errorf("%s has logged its key", n.name)
	}
}

// counts checks that each kind of attack was counted.
func (f *field) counts(n *node, before map[string]float64) {
	f.t.Helper()
	want := []string{
		`gossip_refused_total{reason="flood"}`, `gossip_refused_total{reason="malformed"}`, `gossip_refused_total{reason="oversize"}`,
		`gossip_refused_total{reason="request"}`, `gossip_refused_total{reason="echo"}`, `gossip_refused_total{reason="dead"}`,
		`records_total{verdict="forged"}`, `records_total{verdict="untrusted"}`, `records_total{verdict="malformed"}`,
		`revocation_lists_total{verdict="untrusted"}`,
	}
	if n == f.honest[0] {
		want = append(want, `introductions_total{result="limited"}`, `introductions_total{result="stranger"}`)
	}
	after := f.metrics(n)
	for _, m := range want {
		name := "cbnet_mesh_" + m
		f.t.Logf("%s: %s %v", n.name, m, after[name]-before[name])
		if after[name] <= before[name] {
			f.t.Errorf("%s has not counted %s", n.name, name)
		}
	}
}

// sniff learns the names of members in gossip from the insider's own interface.
func (f *field) sniff(d time.Duration) map[string]string {
	f.t.Helper()
	names := map[string]string{}
	err := f.insider.host.Do(func() error {
		const all = 0x0300 // ETH_P_ALL, big endian
		fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM, all)
		if err != nil {
			return err
		}
		defer syscall.Close(fd) //nolint:errcheck // nothing is written
		if err := syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 100_000}); err != nil {
			return err
		}
		name := regexp.MustCompile(`(n[1-9])\.[0-9a-f]{11}`)
		buf := make([]byte, 1<<16)
		for end := time.Now().Add(d); time.Now().Before(end) && len(names) < 4; {
			n, _, err := syscall.Recvfrom(fd, buf, 0)
			if err != nil {
				continue // nothing came
			}
			for _, found := range name.FindAllSubmatch(buf[:n], -1) {
				names[string(found[1])] = string(found[0])
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if len(names) == 0 {
		f.t.Fatal("no names in the insider's packets")
	}
	return names
}

// borrows sends packets from another member's overlay address, as the insider's
// host can: WireGuard drops them, since the insider's certificate does not
// grant it, and nobody hears of them.
func (f *field) borrows() {
	f.t.Helper()
	victim, to := f.honest[1], f.honest[2]
	const reason = `cbnet_mesh_gossip_refused_total{reason="malformed"}`
	lo := func(what string) {
		f.t.Helper()
		if out, err := f.insider.host.Command(f.t.Context(), "ip", "addr", what, victim.ip.String()+"/32", "dev", "lo").CombinedOutput(); err != nil {
			f.t.Fatalf("%v: %s", err, out)
		}
	}
	send := func(from netip.Addr) (counted float64) {
		f.t.Helper()
		before := f.metrics(to)[reason]
		c, err := f.insider.host.ListenPacket(f.t.Context(), "udp", netip.AddrPortFrom(from, 0).String())
		if err != nil {
			f.t.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // a datagram socket
		for range 100 {
			if _, err := c.WriteTo([]byte("garbage"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.ip, gossipPort))); err != nil {
				f.t.Fatal(err)
			}
		}
		<-time.After(300 * time.Millisecond)
		return f.metrics(to)[reason] - before
	}
	lo("add")
	borrowed := send(victim.ip)
	lo("del")
	if own := send(f.insider.ip); borrowed != 0 || own < 50 {
		f.t.Errorf("of 100 packets each %v from another's address arrive, and %v from the insider's own; want 0 and most", borrowed, own)
	}
}

// garbage makes connections to the introducer, from where nobody has a
// certificate.
func (f *field) garbage(count int) {
	to := net.JoinHostPort(f.honest[0].host.Addr().String(), "7950")
	var g sync.WaitGroup
	room := make(chan struct{}, 20)
	junk := make([]byte, 300)
	_, _ = rand.Read(junk)
	for i := range count {
		room <- struct{}{}
		g.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			defer cancel()
			c, err := f.stranger.DialContext(ctx, "tcp", to)
			if err != nil {
				return // refused
			}
			defer c.Close()                    //nolint:errcheck // it may be closed
			_, _ = c.Write(junk[:i%len(junk)]) // it may be cut off
		})
	}
	g.Wait()
}

// say sends bytes to a TCP port of a node from the insider's host and waits for
// the other to close.
func (f *field) say(to netip.Addr, port uint16, b []byte) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	c, err := f.insider.host.DialContext(ctx, "tcp", netip.AddrPortFrom(to, port).String())
	if err != nil {
		return // refused
	}
	defer c.Close() //nolint:errcheck // it may be closed
	_ = c.SetDeadline(time.Now().Add(7 * time.Second))
	_, _ = c.Write(b) // it may be cut off
	_, _ = io.CopyN(io.Discard, c, 1<<20)
}

// lies sends everything that is false to everyone.
func (f *field) lies(names map[string]string) {
	for _, n := range f.honest {
		for _, b := range f.requests() {
			f.say(n.ip, gossipPort, b)
		}
		c, err := f.insider.host.DialContext(f.t.Context(), "udp", netip.AddrPortFrom(n.ip, gossipPort).String())
		if err != nil {
			f.t.Error(err)
			return
		}
		f.storm(c, names)
		_ = c.Close()
	}
}

// storm sends packets of all kinds, as fast as a member should not.
func (f *field) storm(c net.Conn, names map[string]string) {
	label := f.label()
	var packets [][]byte
	for name := range maps.Values(names) {
		packets = append(packets, label(dead(name, names[f.insider.name], math.MaxUint32)), label(dead(name, name, math.MaxUint32)))
	}
	packets = append(packets,
		label([]byte("\x09garbage")), label(make([]byte, 3000)), []byte{0xCB, 1, 1}, []byte("garbage"),
		append([]byte{7, 1, 0, 9}, "\x09compress"...),
	)
	for i := range 5000 {
		_, _ = c.Write(packets[i%len(packets)]) // the socket may be full
		if i%50 == 49 {
			<-time.After(10 * time.Millisecond)
		}
	}
}

// label puts the label of gossip before a message.
func (f *field) label() func([]byte) []byte {
	f.t.Helper()
	roots, err := f.bundle.Roots()
	if err != nil {
		f.t.Fatal(err)
	}
	l := roots.Mesh().Name + "/" + roots.Mesh().CIDR6.Addr().String()
	return func(b []byte) []byte { return append(append([]byte{244, byte(len(l))}, l...), b...) }
}

// dead is memberlist's message that a member is dead, in MessagePack.
func dead(name, from string, incarnation uint32) []byte {
	b := append([]byte{5, 0x83, 0xab}, "Incarnation\xce"...)
	b = binary.BigEndian.AppendUint32(b, incarnation)
	b = append(append(b, "\xa4Node"...), byte(0xa0|len(name)))
	b = append(append(append(b, name...), "\xa4From"...), byte(0xa0|len(from)))
	return append(b, from...)
}

// requests are streams of lies for the gossip port.
func (f *field) requests() [][]byte {
	f.t.Helper()
	label := f.label()
	frame := func(q string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0xCB}, uint32(len(q))), q...)
	}
	record := func(env []byte) []byte {
		return frame(fmt.Sprintf(`{"format":1,"records":[%q]}`, base64.StdEncoding.EncodeToString(env)))
	}
	own, err := identity.SignRecord(identity.Record{Node: f.insider.name, Version: 1 << 60, WireGuardKey: identity.Bytes32{9}}, f.bundle.Key, f.bundle.Certificate)
	if err != nil {
		f.t.Fatal(err)
	}
	forged := append([]byte(nil), own...)
	forged[len(forged)-1] ^= 1
	m, err := identity.NewMesh("lab", identity.DefaultCIDR)
	if err != nil {
		f.t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	foreign, err := identity.SignRecord(identity.Record{Node: "n1", Version: 1 << 60, WireGuardKey: identity.Bytes32{9}}, f.bundle.Key, mustIssue(f, ca))
	if err != nil {
		f.t.Fatal(err)
	}
	list, err := ca.SignRevocations(identity.RevocationList{Number: 1 << 40, Issued: time.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return [][]byte{
		record(forged), record(foreign), record([]byte("garbage")), frame("garbage"),
		frame(fmt.Sprintf(`{"format":1,"revocations":%q}`, base64.StdEncoding.EncodeToString(list))),
		{0xCB, 255, 255, 255, 255},
		label(append([]byte{6, 0x83, 0xa5}, "Nodes\xce\x00\x0f\x00\x00\xacUserStateLen\x00\xa4Join\xc2"...)),
		label([]byte("\x09garbage")), []byte("GET / HTTP/1.1\r\n\r\n"),
	}
}

func mustIssue(f *field, ca *identity.CA) *x509.Certificate {
	f.t.Helper()
	c, err := ca.Issue(f.bundle.Key.Public().(ed25519.PublicKey), identity.Grant{Node: "n1", IP: f.honest[0].ip}, time.Now(), time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// holds opens many connections to every port of every node and says nothing, or
// the beginning of something, and packets to those where only TCP is spoken.
func (f *field) holds() {
	for _, n := range f.honest {
		var conns []net.Conn
		for _, port := range []uint16{gossipPort, apiPort, metricsPort, dnsPort} {
			for i := range 100 {
				ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
				c, err := f.insider.host.DialContext(ctx, "tcp", netip.AddrPortFrom(n.ip, port).String())
				cancel()
				if err != nil {
					break // nobody listens, or it is full
				}
				conns = append(conns, c)
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if i%2 == 0 {
					_, _ = c.Write([]byte{0xCB, 0, 1, 0, 0, '{'}) // it may be cut off
				}
			}
			if c, err := f.insider.host.DialContext(f.t.Context(), "udp", netip.AddrPortFrom(n.ip, port).String()); err == nil {
				for range 1000 {
					_, _ = c.Write([]byte("garbage")) // perhaps nobody listens
				}
				_ = c.Close()
			}
		}
		<-time.After(time.Second)
		for _, c := range conns {
			_ = c.Close()
		}
	}
}

// peersOf returns whom a node knows, sorted.
func peersOf(t *testing.T, n *node) string {
	t.Helper()
	peers, err := control.Dial(n.dir + ".sock").Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range peers {
		fmt.Fprintf(&b, "%s %s %s\n", p.Name, p.IP, p.IP6)
	}
	return b.String()
}
