package mesh_test

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
)

// call opens a connection to the introducer from the stranger's host, nil if
// the backlog is full.
func (s *siege) call() net.Conn {
	c, err := s.stranger.Dial(s.t.Context(), netip.Addr{}, introducerAddr)
	if err != nil {
		return nil
	}
	return c
}

// flood makes connections to the introducer, says something different on each
// and closes them, 200 at a time.
func (s *siege) flood(count int, say func(i int) []byte) {
	for i := 0; i < count; i += 200 {
		var conns []net.Conn
		for j := range 200 {
			if c := s.call(); c != nil {
				conns = append(conns, c)
				go func() { _, _ = c.Write(say(i + j)) }() // it may be cut off
			}
		}
		pause(200 * time.Millisecond)
		for _, c := range conns {
			closeConn(s.t, c)
		}
	}
}

// tls speaks TLS to the introducer behind a right preface, and then as a joiner
// with any bytes.
func (s *siege) tls(b *identity.Bundle, say []byte) {
	s.t.Helper()
	c := s.call()
	if c == nil {
		s.t.Fatal("the introducer's backlog is full")
	}
	defer closeConn(s.t, c)
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	tc, err := s.hello(c, b)
	if err != nil {
		return // refused
	}
	if _, err := mesh.ReadReply(tc); err != nil {
		return
	}
	_, _ = tc.Write(say) // it may be cut off
	if p, err := mesh.ReadReply(tc); err == nil {
		s.t.Errorf("let in, with %d records", len(p.Records))
	}
}

// hello makes a connection of TLS with a certificate.
func (s *siege) hello(c net.Conn, b *identity.Bundle) (*tls.Conn, error) {
	if _, err := c.Write(mustPreface(s.t, mustRoots(s.t, s.lab.ca).CAHash(), time.Now())); err != nil {
		return nil, err
	}
	tc := tls.Client(c, &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{b.Certificate.Raw}, PrivateKey: b.Key}},
	})
	return tc, tc.HandshakeContext(s.t.Context())
}

// joins has an honest newcomer join while the attack goes on.
func (s *siege) joins(n int) {
	s.t.Helper()
	late := s.lab.add(n).start()
	s.mu.Lock()
	s.newcomer = append(s.newcomer, late)
	s.mu.Unlock()
	eventually(s.t, 10*time.Second, "an honest node joins", func() bool { return allUp(s.honest[0], late) })
}

func body(q string) []byte { return frame(uint32(len(q)), []byte(q))[1:] }

// TestAttackAtIntroducer: strangers, and holders of certificates, at the one
// port that is open to everyone.
func TestAttackAtIntroducer(t *testing.T) {
	foreign := func(s *siege) *identity.Bundle { return newBundle(s.t, newCA(s.t, "test"), "node-2", 2) }
	joiner := func(s *siege) *identity.Bundle { return newBundle(s.t, s.lab.ca, "node-70", 70) }
	garbage := func(i int) []byte { return fmt.Appendf(nil, "%0*d", i%200, i) }
	long := 2 * time.Minute // so that rates are forgotten
	attacks := []attack{
		{name: "10,000 connections of garbage", label: "limited", settle: long, do: func(s *siege) {
			s.flood(5000, garbage)
			s.joins(71)
			s.flood(5000, garbage)
		}},
		{name: "10,000 right prefaces and garbage", label: "limited", settle: long, do: func(s *siege) {
			hash := mustRoots(s.t, s.lab.ca).CAHash()
			s.flood(10_000, func(i int) []byte { return append(mustPreface(s.t, hash, time.Now()), garbage(i)...) })
			s.joins(71)
		}},
		{name: "garbage", label: "stranger", do: func(s *siege) { s.flood(100, garbage) }},
		{name: "half-open connections", label: "limited", settle: long, do: func(s *siege) {
			var conns []net.Conn
			for range 10_000 {
				if c := s.call(); c != nil {
					conns = append(conns, c)
				}
				if len(conns)%500 == 0 {
					pause(100 * time.Millisecond)
				}
			}
			s.joins(71)
			for _, c := range conns {
				closeConn(s.t, c)
			}
		}},
		{name: "a replayed preface", label: "replayed", do: func(s *siege) {
			right := mustPreface(s.t, mustRoots(s.t, s.lab.ca).CAHash(), time.Now())
			s.flood(100, func(int) []byte { return right })
		}},
		{name: "an old preface", label: "skewed", do: func(s *siege) {
			old := mustPreface(s.t, mustRoots(s.t, s.lab.ca).CAHash(), time.Now().Add(-time.Hour))
			s.flood(100, func(int) []byte { return old })
		}},
		{name: "the certificate of another CA", label: "untrusted", do: func(s *siege) {
			for range 20 {
				s.tls(foreign(s), nil)
			}
		}},
		{name: "an expired certificate", label: "expired", do: func(s *siege) {
			s.tls(certify{grant: identity.Grant{Node: "node-70", IP: overlayIP(70)},
				notBefore: time.Now().Add(-48 * time.Hour), notAfter: time.Now().Add(-time.Hour)}.bundle(s.t, s.lab.ca), nil)
		}},
		{name: "a certificate for the whole of IPv4", label: "grant", do: func(s *siege) {
			s.tls(certify{grant: identity.Grant{Node: "gw", IP: overlayIP(70), Routes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}}.bundle(s.t, s.lab.ca), nil)
		}},
		{name: "another's record", label: "grant", do: func(s *siege) {
			env := sign(s.t, s.honest[1].cfg.Bundle, identity.Record{Version: version()})
			s.tls(joiner(s), body(fmt.Sprintf(`{"format":1,"records":[%q]}`, base64.StdEncoding.EncodeToString(env))))
		}},
		{name: "a record of another CA", label: "untrusted", do: func(s *siege) {
			env := sign(s.t, foreign(s), identity.Record{Version: version()})
			s.tls(joiner(s), body(fmt.Sprintf(`{"format":1,"records":[%q]}`, base64.StdEncoding.EncodeToString(env))))
		}},
		{name: "no record", label: "malformed", do: func(s *siege) { s.tls(joiner(s), body(`{"format":1}`)) }},
		{name: "a request that promises 4 GB", label: "oversize", do: func(s *siege) { s.tls(joiner(s), frame(math.MaxUint32, nil)[1:]) }},
		{name: "requests of 4 MiB", label: "oversize", do: func(s *siege) {
			s.tls(joiner(s), frame(4<<20, make([]byte, 4<<20))[1:])
		}},
		{name: "64 requests held", label: "limited", settle: time.Minute, do: func(s *siege) {
			b := joiner(s)
			for range 64 {
				c := s.call()
				if c == nil {
					continue
				}
				go func() {
					defer c.Close() //nolint:errcheck // it may be cut off
					if tc, err := s.hello(c, b); err == nil {
						_, _ = mesh.ReadReply(tc)
						_, _ = tc.Write(frame(mesh.MaxRequest, make([]byte, mesh.MaxRequest-1))[1:])
						_, _ = mesh.ReadReply(tc) // held until the introducer closes
					}
				}()
			}
			pause(2 * time.Second)
			var most int
			if most, _ = memory(); most-s.heap > 16<<20 {
				s.t.Errorf("64 requests of one certificate take %d bytes", most-s.heap)
			}
			s.t.Logf("64 requests of %d bytes each, of one certificate: the heap grows by %d bytes", mesh.MaxRequest, most-s.heap)
			s.joins(71)
			pause(10 * time.Second)
		}},
	}
	runAttacks(t, "introductions", attacks)
}
