package identity_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

// What a member signs is its own choice: the signature protects nobody from
// what stands below it.
func FuzzRecordPayload(f *testing.F) {
	ca := newCA(f, "home")
	r, b := roots(f, ca), newBundle(f, ca, grant("web-1", "10.66.0.7"))
	good := record(1)
	good.Format, good.Node = identity.Format, "web-1"
	data, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":1,"node":"web-1","version":1,"endpoints":[{"addr":"[::ffff:0.0.0.0]:1","kind":"public"}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := r.OpenRecord(identity.SealRecord(payload, b), now)
		if err != nil {
			return
		}
		if s.Record.Node != "web-1" || s.Record.Version == 0 || len(s.Record.Endpoints) > identity.MaxEndpoints {
			t.Fatalf("taken: %+v", s.Record)
		}
		for _, e := range s.Record.Endpoints {
			if e.Addr.Port() == 0 || e.Addr.Addr().IsUnspecified() || e.Addr.Addr().IsMulticast() {
				t.Fatalf("taken: endpoint %s", e.Addr)
			}
		}
	})
}

func FuzzRevocationPayload(f *testing.F) {
	ca := newCA(f, "home")
	f.Add([]byte(`{"format":1,"mesh":"home","number":7,"entries":[{"node":"a","serial":"1f"}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		r := roots(t, ca)
		changed, err := r.Apply(identity.SealRevocations(payload, ca))
		if changed != (err == nil) || changed != (r.RevocationNumber() > 0) {
			t.Fatalf("changed %v, %v, number %d", changed, err, r.RevocationNumber())
		}
	})
}

// No grant, whatever is in it, gives a node what the mesh does not have to give.
func FuzzGrant(f *testing.F) {
	ca := newCA(f, "home")
	r, key := roots(f, ca), newKey(f)
	good, err := json.Marshal(identity.Grant{Format: 1, Mesh: "home", Node: "a", IP: ca.Mesh.CIDR.Addr().Next(), IP6: ca.Mesh.IP6(publicKey(key))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"routes":["0.0.0.0/0"]}`))
	f.Fuzz(func(t *testing.T, grant []byte) {
		cert, err := identity.Certify(ca, publicKey(key), grant, "a", now)
		if err != nil {
			t.Skip(err)
		}
		g, err := r.Verify(cert, now.Add(time.Minute))
		if err != nil {
			return
		}
		if g.Node != "a" || !ca.Mesh.CIDR.Contains(g.IP) || g.IP6 != ca.Mesh.IP6(publicKey(key)) || len(g.Routes) > identity.MaxRoutes {
			t.Fatalf("taken: %+v", g)
		}
		for _, p := range g.Routes {
			if p.Bits() == 0 || p.Overlaps(ca.Mesh.CIDR) || p.Overlaps(ca.Mesh.CIDR6) {
				t.Fatalf("taken: route %s", p)
			}
		}
	})
}

func FuzzParseCA(f *testing.F) {
	cert, key, err := newCA(f, "home").MarshalPEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key)
	f.Add(key, cert)
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if ca, err := identity.ParseCA(cert, key); err == nil && ca.Mesh.Validate() != nil {
			t.Fatalf("taken: an authority of mesh %s", ca.Mesh)
		}
	})
}
