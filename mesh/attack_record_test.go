package mesh_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
)

// own is a record of the liar's, right in every way.
func (s *siege) own(change func(*identity.Record)) []byte {
	r := identity.Record{
		Node: s.liar.name, Version: version(), WireGuardKey: wgKey(s.liar),
		Endpoints: []identity.Endpoint{{Addr: netip.AddrPortFrom(publicIP(9), 51820), Kind: identity.KindPublic}},
	}
	change(&r)
	return sign(s.t, s.liar.cfg.Bundle, r)
}

// crafted is a record under a certificate that the CA's key has signed, but its
// code would not.
func (s *siege) crafted(c certify) []byte {
	return s.under(c.bundle(s.t, s.lab.ca))
}

func (s *siege) under(b *identity.Bundle) []byte {
	payload, err := json.Marshal(identity.Record{
		Format: identity.Format, Node: b.Certificate.Subject.CommonName, Version: version(), WireGuardKey: wgKey(s.liar),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return forge(forRecord, payload, b.Key, b.Certificate.Raw)
}

func route(prefix string) func(*siege) {
	return func(s *siege) {
		s.record(s.crafted(certify{grant: identity.Grant{
			Node: "gw", IP: overlayIP(60), Roles: []identity.Role{identity.RoleGateway},
			Routes: []netip.Prefix{netip.MustParsePrefix(prefix)},
		}}))
	}
}

func named(name string) func(*siege) {
	return func(s *siege) { s.record(s.crafted(certify{grant: identity.Grant{Node: name, IP: overlayIP(60)}})) }
}

func key(hex byte, rest ...byte) func(*siege) {
	return func(s *siege) {
		var k identity.Bytes32
		k[0] = hex
		copy(k[32-len(rest):], rest)
		payload, err := json.Marshal(identity.Record{Format: identity.Format, Node: s.liar.name, Version: version(), WireGuardKey: k})
		if err != nil {
			s.t.Fatal(err)
		}
		s.record(forge(forRecord, payload, s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
	}
}

// TestAttackByRecord: records that lie, pushed by a member to all others.
func TestAttackByRecord(t *testing.T) {
	attacks := []attack{
		{name: "forged signature", label: "forged", do: func(s *siege) {
			env := s.own(func(*identity.Record) {})
			env[len(env)-1] ^= 1
			s.record(env)
		}},
		{name: "another's record under one's own signature", label: "forged", do: func(s *siege) {
			victim := s.honest[1]
			payload, _ := json.Marshal(identity.Record{Format: 1, Node: victim.name, Version: version(), WireGuardKey: wgKey(s.liar)})
			s.record(forge(forRecord, payload, s.liar.cfg.Bundle.Key, victim.cfg.Bundle.Certificate.Raw))
		}},
		{name: "a signature made for another purpose", label: "forged", do: func(s *siege) {
			payload, _ := json.Marshal(identity.Record{Format: 1, Node: s.liar.name, Version: version(), WireGuardKey: wgKey(s.liar)})
			s.record(forge(forRevocations, payload, s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "wrong CA", label: "untrusted", do: func(s *siege) {
			s.record(s.under(newBundle(s.t, newCA(s.t, "test"), "node-2", 2)))
		}},
		{name: "a certificate signed by a member", label: "untrusted", do: func(s *siege) {
			s.record(s.crafted(certify{
				grant:  identity.Grant{Node: "node-9", IP: overlayIP(9), Routes: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}},
				issuer: s.liar.cfg.Bundle.Certificate, issuerKey: s.liar.cfg.Bundle.Key, key: s.liar.cfg.Bundle.Key,
			}))
		}},
		{name: "expired", label: "expired", do: func(s *siege) {
			s.record(s.crafted(certify{grant: identity.Grant{Node: "node-2", IP: overlayIP(2)},
				notBefore: time.Now().Add(-48 * time.Hour), notAfter: time.Now().Add(-time.Hour)}))
		}},
		{name: "not yet valid", label: "expired", do: func(s *siege) {
			s.record(s.crafted(certify{grant: identity.Grant{Node: "node-2", IP: overlayIP(2)},
				notBefore: time.Now().Add(time.Hour), notAfter: time.Now().Add(48 * time.Hour)}))
		}},
		{name: "replayed old version", label: "older", do: func(s *siege) {
			for range 20 {
				s.record(sign(s.t, s.honest[1].cfg.Bundle, identity.Record{Version: 1, WireGuardKey: wgKey(s.liar)}))
			}
		}},
		{name: "equal version, other content", label: "conflict", do: func(s *siege) {
			v := version()
			for i := range 20 {
				s.record(s.own(func(r *identity.Record) { r.Version, r.Network = v, fmt.Sprint(i) }))
			}
		}},
		{name: "oversize record", label: "oversize", do: func(s *siege) {
			s.record(forge(forRecord, make([]byte, identity.MaxEnvelope), s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "too many endpoints", label: "oversize", do: func(s *siege) {
			r := identity.Record{Format: 1, Node: s.liar.name, Version: version(), WireGuardKey: wgKey(s.liar)}
			for i := range identity.MaxEndpoints + 1 {
				r.Endpoints = append(r.Endpoints, identity.Endpoint{Addr: netip.AddrPortFrom(publicIP(9), uint16(i+1)), Kind: identity.KindPublic})
			}
			payload, _ := json.Marshal(r)
			s.record(forge(forRecord, payload, s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "garbage", label: "malformed", do: func(s *siege) { s.record([]byte("garbage")) }},
		{name: "another's overlay address", label: "grant", do: func(s *siege) {
			victim := s.honest[1]
			payload, _ := json.Marshal(identity.Record{Format: 1, Node: victim.name, Version: version(), WireGuardKey: wgKey(s.liar)})
			s.record(forge(forRecord, payload, s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "another's IPv6 address", label: "grant", do: func(s *siege) {
			s.record(s.crafted(certify{grant: identity.Grant{Node: "node-60", IP: overlayIP(60)}, ip6: s.honest[1].mesh.Grant().IP6}))
		}},
		{name: "an address outside the mesh", label: "grant", do: func(s *siege) {
			s.record(s.crafted(certify{grant: identity.Grant{Node: "node-60", IP: netip.MustParseAddr("8.8.8.8")}}))
		}},
		{name: "the metadata address as one's own", label: "grant", do: func(s *siege) {
			s.record(s.crafted(certify{grant: identity.Grant{Node: "node-60", IP: netip.MustParseAddr("169.254.169.254")}}))
		}},
		{name: "the whole of IPv4", label: "grant", do: route("0.0.0.0/0")},
		{name: "the whole of IPv6", label: "grant", do: route("::/0")},
		{name: "the metadata address", label: "grant", do: route("169.254.169.254/32")},
		{name: "a subnet of the mesh", label: "grant", do: route("10.66.0.0/24")},
		{name: "a subnet in the record, outside the grant", label: "newer", do: func(s *siege) {
			payload := fmt.Sprintf(`{"format":1,"node":%q,"version":%d,"wireGuardKey":%q,"routes":["192.168.7.0/24"],"allowedIPs":["0.0.0.0/0"],"ip":"10.66.0.2"}`,
				s.liar.name, version(), s.liar.cfg.PrivateKey.Public())
			s.record(forge(forRecord, []byte(payload), s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "the metadata address as an endpoint", label: "newer", do: func(s *siege) {
			s.record(s.own(func(r *identity.Record) {
				for _, a := range []string{"169.254.169.254:80", "127.0.0.1:51820", "10.66.0.2:51820"} {
					r.Endpoints = append(r.Endpoints, identity.Endpoint{Addr: netip.MustParseAddrPort(a), Kind: identity.KindPublic})
				}
			}))
			s.die() // so that its addresses are tried in turn
		}},
		{name: "a WireGuard key of zeros", label: "malformed", do: key(0)},
		{name: "a WireGuard key of small order", label: "malformed", do: key(1)},
		{name: "another WireGuard key of small order", label: "malformed", do: func(s *siege) {
			p := bytes.Repeat([]byte{0xff}, 31) // p - 1
			p[30] = 0x7f
			key(0xec, p...)(s)
		}},
		{name: "a WireGuard key of 31 bytes", label: "malformed", do: func(s *siege) {
			payload := fmt.Sprintf(`{"format":1,"node":%q,"version":%d,"wireGuardKey":"AAAA"}`, s.liar.name, version())
			s.record(forge(forRecord, []byte(payload), s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "the victim's WireGuard key", label: "clash", do: func(s *siege) {
			for range 10 {
				for _, victim := range s.honest { // for each of whom one is its own
					s.record(s.own(func(r *identity.Record) { r.WireGuardKey = wgKey(victim) }))
					pause(200 * time.Millisecond)
				}
			}
		}},
		{name: "a name with a space", label: "grant", do: named("node 2")},
		{name: "a name with a newline", label: "grant", do: named("node-2\n127.0.0.1 evil")},
		{name: "a name of 3 KiB", label: "grant", do: named(strings.Repeat("x", 3<<10))},
		{name: "a name of 1 MB", label: "oversize", do: func(s *siege) {
			payload := fmt.Sprintf(`{"format":1,"node":%q,"version":1}`, strings.Repeat("x", 1<<20-100))
			s.record(forge(forRecord, []byte(payload), s.liar.cfg.Bundle.Key, s.liar.cfg.Bundle.Certificate.Raw))
		}},
		{name: "left and back, and again", label: "newer", do: func(s *siege) {
			for i := range 300 {
				s.record(s.own(func(r *identity.Record) { r.Version, r.Left = version()+uint64(i), i%2 == 0 }))
			}
		}},
	}
	runAttacks(t, "records", attacks)
}

// TestAttackByRevocationList: lists that would put honest nodes out.
func TestAttackByRevocationList(t *testing.T) {
	payload := func(s *siege, number uint64) []byte {
		l := identity.RevocationList{Format: 1, Mesh: "test", Number: number, Issued: time.Now()}
		for _, n := range s.honest {
			l.Entries = append(l.Entries, identity.Revoked{Node: n.name, Serial: identity.SerialOf(n.cfg.Bundle.Certificate), Expires: time.Now().Add(time.Hour)})
		}
		b, err := json.Marshal(l)
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	list := func(s *siege, number uint64) []byte {
		b, err := s.lab.ca.SignRevocations(identity.RevocationList{Number: number, Issued: time.Now()})
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	push := func(s *siege, b []byte) { s.push(mesh.Request{Revocations: b}) }
	attacks := []attack{
		{name: "signed by a member", label: "untrusted", do: func(s *siege) {
			b := s.liar.cfg.Bundle
			push(s, forge(forRevocations, payload(s, 9), b.Key, b.Certificate.Raw))
		}},
		{name: "signed by another CA", label: "untrusted", do: func(s *siege) {
			ca := newCA(s.t, "test")
			push(s, forge(forRevocations, payload(s, 9), caKey(s.t, ca), ca.Certificate.Raw))
		}},
		{name: "with the CA's certificate and another's key", label: "forged", do: func(s *siege) {
			push(s, forge(forRevocations, payload(s, 9), s.liar.cfg.Bundle.Key, s.lab.ca.Certificate.Raw))
		}},
		{name: "older", label: "older", do: func(s *siege) {
			push(s, list(s, 5))
			push(s, list(s, 4))
		}},
		{name: "of the same number", label: "conflict", do: func(s *siege) {
			push(s, list(s, 5))
			pause(time.Second)
			push(s, list(s, 5))
		}},
		{name: "oversize", label: "oversize", do: func(s *siege) { push(s, make([]byte, identity.MaxRevocations+1)) }},
		{name: "garbage", label: "malformed", do: func(s *siege) { push(s, []byte("garbage")) }},
	}
	runAttacks(t, "revocation_lists", attacks)
}
