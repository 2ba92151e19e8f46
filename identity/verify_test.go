package identity_test

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

func newBundleAt(t testing.TB, ca *identity.CA, g identity.Grant, at time.Time) *identity.Bundle {
	t.Helper()
	key := newKey(t)
	cert, err := ca.Issue(publicKey(key), g, at, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &identity.Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{ca.Certificate}}
}

func TestVerify(t *testing.T) {
	ca, other := newCA(t, "home"), newCA(t, "home")
	r := roots(t, ca)
	full := grant("web-1", "10.66.0.7")
	full.Routes = []netip.Prefix{netip.MustParsePrefix("192.168.10.0/24")}
	full.Groups, full.Roles = []string{"web"}, []identity.Role{identity.RoleGateway}
	b := newBundle(t, ca, full)

	tests := []struct {
		name string
		cert *x509.Certificate
		at   time.Time
		want error
	}{
		{"valid", b.Certificate, now, nil},
		{"host clock 59 minutes late", b.Certificate, now.Add(-59 * time.Minute), nil},
		{"not yet", b.Certificate, now.Add(-2 * time.Hour), identity.ErrExpired},
		{"expired", b.Certificate, now.Add(25 * time.Hour), identity.ErrExpired},
		{"other CA of the same name", newBundle(t, other, full).Certificate, now, identity.ErrUntrusted},
		{"the CA itself", ca.Certificate, now, identity.ErrGrant},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := r.Verify(tt.cert, tt.at)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err == nil && (g.Node != "web-1" || !g.Has(identity.RoleGateway) || g.Has(identity.RoleServer) || g.IP6 != ca.Mesh.IP6(publicKey(b.Key))) {
				t.Fatalf("grant %+v", g)
			}
		})
	}
}

func TestAPICertificateIsNoNode(t *testing.T) {
	ca := newCA(t, "home")
	cert, err := ca.IssueServer(newKey(t).Public(), []string{"localhost", "127.0.0.1"}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := roots(t, ca).Verify(cert, now); !errors.Is(err, identity.ErrGrant) {
		t.Fatalf("error %v, want ErrGrant", err)
	}
	if len(cert.DNSNames) != 1 || len(cert.IPAddresses) != 1 {
		t.Fatalf("names %v %v", cert.DNSNames, cert.IPAddresses)
	}
	node := newBundle(t, ca, grant("web-1", "10.66.0.7")).Certificate
	if len(node.DNSNames) != 0 || len(node.IPAddresses) != 0 {
		t.Fatal("a node's certificate could pose as the API")
	}
}

func TestIssueRefusesWhatNoNodeMayClaim(t *testing.T) {
	ca := newCA(t, "home")
	route := func(s string) identity.Grant {
		g := grant("gw", "10.66.0.9")
		g.Routes = []netip.Prefix{netip.MustParsePrefix(s)}
		return g
	}
	tests := []struct {
		name  string
		grant identity.Grant
		want  string
	}{
		{"default route", route("0.0.0.0/0"), "default route"},
		{"IPv6 default route", route("::/0"), "default route"},
		{"metadata", route("169.254.169.254/32"), "metadata"},
		{"cloud services", route("100.100.0.0/16"), "cloud services"},
		{"the mesh itself", route("10.66.3.0/24"), "mesh's own"},
		{"covers the mesh", route("10.0.0.0/8"), "mesh's own"},
		{"host bits", route("192.168.1.1/24"), "host bits"},
		{"multicast", route("224.0.0.0/8"), "multicast"},
		{"address outside", grant("gw", "10.67.0.1"), "10.66.0.0/16"},
		{"network address", grant("gw", "10.66.0.0"), "host address"},
		{"broadcast address", grant("gw", "10.66.255.255"), "host address"},
		{"name with space", grant("a b", "10.66.0.9"), "inner hyphens"},
		{"name with newline", grant("a\nb", "10.66.0.9"), "inner hyphens"},
		{"name of 1 MB", grant(strings.Repeat("a", 1<<20), "10.66.0.9"), "1 to 63"},
		{"unknown role", identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.9"), Roles: []identity.Role{"root"}}, "want one of"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ca.Issue(publicKey(newKey(t)), tt.grant, now, time.Hour)
			if !errors.Is(err, identity.ErrGrant) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %.300v, want ErrGrant with %q", err, tt.want)
			}
			if len(err.Error()) > 1000 {
				t.Fatalf("error of %d characters", len(err.Error()))
			}
		})
	}
}

func TestRevocation(t *testing.T) {
	ca, other := newCA(t, "home"), newCA(t, "home")
	r := roots(t, ca)
	b := newBundle(t, ca, grant("web-1", "10.66.0.7"))
	list := func(ca *identity.CA, number uint64, certs ...*x509.Certificate) []byte {
		t.Helper()
		l := identity.RevocationList{Number: number, Issued: now}
		for _, c := range certs {
			l.Entries = append(l.Entries, identity.Revoked{Node: "web-1", Serial: identity.SerialOf(c), Expires: c.NotAfter})
		}
		signed, err := ca.SignRevocations(l)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	two := list(ca, 2, b.Certificate)
	steps := []struct {
		name    string
		signed  []byte
		changed bool
		want    error
	}{
		{"other CA's", list(other, 9, b.Certificate), false, identity.ErrUntrusted},
		{"first", two, true, nil},
		{"again", two, false, nil},
		{"older", list(ca, 1), false, identity.ErrOutdated},
		{"same number, other content", list(ca, 2), false, identity.ErrTaken},
		{"garbage", []byte("cbnet"), false, identity.ErrFormat},
		{"too large", make([]byte, identity.MaxRevocations+1), false, identity.ErrTooLarge},
	}
	for _, s := range steps {
		changed, err := r.Apply(s.signed)
		if changed != s.changed || !errors.Is(err, s.want) {
			t.Fatalf("%s: %v, %v; want %v, %v", s.name, changed, err, s.changed, s.want)
		}
	}
	if _, err := r.Verify(b.Certificate, now); !errors.Is(err, identity.ErrRevoked) {
		t.Fatalf("error %v, want ErrRevoked", err)
	}
	again := newBundle(t, ca, grant("web-1", "10.66.0.7"))
	if _, err := r.Verify(again.Certificate, now); err != nil {
		t.Fatalf("the name issued anew: %v", err)
	}
	if changed, err := r.Apply(list(ca, 3)); !changed || err != nil {
		t.Fatalf("newer: %v, %v", changed, err)
	}
	if _, err := r.Verify(b.Certificate, now); err != nil {
		t.Fatalf("a complete list without it: %v", err)
	}
	if r.RevocationNumber() != 3 {
		t.Fatalf("number %d", r.RevocationNumber())
	}
}

func TestRootsOfTwoMeshes(t *testing.T) {
	if _, err := identity.NewRoots(newCA(t, "home").Certificate, newCA(t, "work").Certificate); err == nil {
		t.Fatal("two meshes trusted at once")
	}
	if _, err := identity.NewRoots(); err == nil {
		t.Fatal("nobody trusted")
	}
}

func TestNextIP(t *testing.T) {
	p := netip.MustParsePrefix("10.66.0.0/29")
	used := map[netip.Addr]bool{}
	var got []string
	for {
		a, err := identity.NextIP(p, func(a netip.Addr) bool { return used[a] })
		if errors.Is(err, identity.ErrTaken) {
			break
		}
		used[a] = true
		got = append(got, a.String())
	}
	want := "10.66.0.1 10.66.0.2 10.66.0.3 10.66.0.4 10.66.0.5 10.66.0.6"
	if strings.Join(got, " ") != want {
		t.Fatalf("got %v, want %s", got, want)
	}
}

func TestNewMeshRefuses(t *testing.T) {
	for _, cidr := range []string{"100.64.0.0/16", "10.66.0.1/16", "10.0.0.0/7", "10.0.0.0/29", "fd00::/64", "127.0.0.0/16", "169.254.0.0/16"} {
		if _, err := identity.NewMesh("home", netip.MustParsePrefix(cidr)); err == nil {
			t.Errorf("cidr %s accepted", cidr)
		}
	}
	if _, err := identity.NewMesh("Home", identity.DefaultCIDR); err == nil {
		t.Error("upper-case name accepted")
	}
}

func TestIssueRefusesACertificateThatHasEnded(t *testing.T) {
	ca := newCA(t, "home")
	days := 200000 // more than a duration holds
	for _, validity := range []time.Duration{0, -time.Hour, time.Duration(days) * 24 * time.Hour} {
		if c, err := ca.Issue(publicKey(newKey(t)), grant("web-1", "10.66.0.7"), now, validity); err == nil {
			t.Errorf("validity %v: issued, ends %v", validity, c.NotAfter)
		}
	}
}
