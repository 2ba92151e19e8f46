package protocol

import (
	"crypto/ed25519"
	crand "crypto/rand"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

func endpoint(kind identity.EndpointKind, addr string) identity.Endpoint {
	return identity.Endpoint{Addr: netip.MustParseAddrPort(addr), Kind: kind}
}

func TestCandidates(t *testing.T) {
	const private, public, observed = identity.KindPrivate, identity.KindPublic, identity.KindObserved
	all := []identity.Endpoint{
		endpoint(observed, "198.51.100.7:51820"), endpoint(public, "203.0.113.7:51820"),
		endpoint(private, "10.0.0.7:51820"), endpoint(private, "192.168.1.7:51820"),
	}
	overlayNet := []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16")}
	tests := []struct {
		name string
		self place
		peer identity.Record
		want []string
	}{
		{"nothing in common", place{}, identity.Record{Endpoints: all}, []string{"203.0.113.7:51820", "198.51.100.7:51820"}},
		{"no network id is no common network", place{network: ""}, identity.Record{Network: "", Endpoints: all}, []string{"203.0.113.7:51820", "198.51.100.7:51820"}},
		{"same network", place{network: "aws/x/vpc"}, identity.Record{Network: "aws/x/vpc", Endpoints: all},
			[]string{"10.0.0.7:51820", "192.168.1.7:51820", "203.0.113.7:51820", "198.51.100.7:51820"}},
		{"other network", place{network: "aws/x/vpc"}, identity.Record{Network: "aws/y/vpc", Endpoints: all}, []string{"203.0.113.7:51820", "198.51.100.7:51820"}},
		{"same subnet", place{prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.9/24")}}, identity.Record{Endpoints: all},
			[]string{"192.168.1.7:51820", "203.0.113.7:51820", "198.51.100.7:51820"}},
		{"same subnet, behind the same NAT", place{prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.9/24")}, outside: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}, identity.Record{Endpoints: all},
			[]string{"192.168.1.7:51820", "203.0.113.7:51820", "198.51.100.7:51820"}},
		{"another subnet behind the same NAT", place{outside: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}, identity.Record{Endpoints: all}, []string{"203.0.113.7:51820", "198.51.100.7:51820"}},
		{"an address we have too", place{prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.7/24")}}, identity.Record{Endpoints: all}, []string{"203.0.113.7:51820", "198.51.100.7:51820"}},
		{"public address on an interface", place{}, identity.Record{Endpoints: []identity.Endpoint{endpoint(private, "203.0.113.9:1")}}, []string{"203.0.113.9:1"}},
		{"overlay address", place{overlay: overlayNet, network: "n"}, identity.Record{Network: "n", Endpoints: []identity.Endpoint{endpoint(private, "10.66.0.9:1")}}, nil},
		{"useless addresses", place{network: "n"}, identity.Record{Network: "n", Endpoints: []identity.Endpoint{
			endpoint(private, "127.0.0.1:1"), endpoint(private, "169.254.169.254:1"), endpoint(public, "0.0.0.0:1"), endpoint(private, "[fe80::1]:1")}}, nil},
		{"one address twice", place{}, identity.Record{Endpoints: []identity.Endpoint{endpoint(public, "203.0.113.9:1"), endpoint(observed, "203.0.113.9:1")}}, []string{"203.0.113.9:1"}},
		{"IPv6", place{}, identity.Record{Endpoints: []identity.Endpoint{endpoint(private, "[2001:db8::1]:1")}}, []string{"[2001:db8::1]:1"}},
		{"none", place{}, identity.Record{Endpoints: []identity.Endpoint{endpoint(private, "10.9.9.9:1")}}, nil},
	}
	for _, tt := range tests {
		var got []string
		for _, e := range candidates(tt.self, tt.peer) {
			got = append(got, e.addr.String())
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestPathOf(t *testing.T) {
	r := identity.Record{Endpoints: []identity.Endpoint{
		endpoint(identity.KindPublic, "203.0.113.7:51820"), endpoint(identity.KindPrivate, "10.0.0.7:51820"),
		endpoint(identity.KindPrivate, "198.18.0.7:51820"), endpoint(identity.KindObserved, "198.51.100.7:51820"),
	}}
	tests := []struct {
		endpoint string
		want     Path
	}{
		{"203.0.113.7:51820", PathPublic},
		{"203.0.113.7:9", PathPublic},
		{"10.0.0.7:51820", PathPrivate},
		{"[::ffff:10.0.0.7]:51820", PathPrivate},
		{"198.18.0.7:51820", PathPublic},
		{"198.51.100.7:51820", PathPunched},
		{"198.51.100.9:51820", PathPunched},
		{"192.168.3.3:51820", PathPrivate},
	}
	for _, tt := range tests {
		if got := pathOf(netip.MustParseAddrPort(tt.endpoint), r); got != tt.want {
			t.Errorf("pathOf(%s) = %q, want %q", tt.endpoint, got, tt.want)
		}
	}
	if got := pathOf(netip.AddrPort{}, r); got != PathNone {
		t.Errorf("no endpoint: got %q, want none", got)
	}
}

func TestEndpoints(t *testing.T) {
	w := whereabouts{
		port:      51820,
		prefixes:  []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24"), netip.MustParsePrefix("10.66.0.7/32"), netip.MustParsePrefix("203.0.113.7/32")},
		overlay:   []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16")},
		advertise: []netip.Addr{netip.MustParseAddr("203.0.113.7")},
		observed:  netip.MustParseAddr("198.51.100.7"),
	}
	// That it is seen at an address tells nobody at which port.
	want := []identity.Endpoint{endpoint(identity.KindPublic, "203.0.113.7:51820"), endpoint(identity.KindPrivate, "10.0.0.7:51820")}
	if d := cmp.Diff(want, w.endpoints(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("endpoints of a node that is observed (-want +got):\n%s", d)
	}
	w.mapped, w.introduce = true, ":7950"
	want = append(want, endpoint(identity.KindPublic, "198.51.100.7:51820"))
	if d := cmp.Diff(want, w.endpoints(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("endpoints (-want +got):\n%s", d)
	}
	if got, want := w.introduceAddr(), "203.0.113.7:7950"; got != want {
		t.Errorf("introduceAddr = %q, want %q", got, want)
	}
	w.observed = netip.MustParseAddr("10.0.0.7")
	if got := w.endpoints(); len(got) != 2 {
		t.Errorf("observed at an address of its own: got %d endpoints, want 2", len(got))
	}
}

// authority makes signed records for tables.
type authority struct {
	t     *testing.T
	ca    *identity.CA
	roots *identity.Roots
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	m, err := identity.NewMesh("test", netip.MustParsePrefix("10.66.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := identity.NewRoots(ca.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return authority{t, ca, r}
}

// record signs a record under a certificate issued at the given time.
func (a authority) record(node string, ip int, key byte, issued time.Time, r identity.Record) *identity.Signed {
	a.t.Helper()
	pub, priv, err := ed25519.GenerateKey(crand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := a.ca.Issue(pub, identity.Grant{Node: node, IP: netip.AddrFrom4([4]byte{10, 66, 0, byte(ip)})}, issued, 24*time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Node, r.WireGuardKey, r.Version = node, [32]byte{key, 9}, max(r.Version, 1)
	env, err := identity.SignRecord(r, priv, cert)
	if err != nil {
		a.t.Fatal(err)
	}
	s, err := a.roots.OpenRecord(env, time.Now())
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func TestResolve(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	self := a.record("self", 1, 1, now, identity.Record{})
	old, fresh := now.Add(-2*time.Hour), now.Add(-time.Hour)
	tests := []struct {
		name    string
		records []*identity.Signed
		proved  []string
		want    []string
		refused []string
	}{
		{"no clash", []*identity.Signed{a.record("b", 2, 2, now, identity.Record{}), a.record("c", 3, 3, now, identity.Record{})}, nil, []string{"b", "c"}, nil},
		{"left", []*identity.Signed{a.record("b", 2, 2, now, identity.Record{Left: true})}, nil, nil, nil},
		{"away stays", []*identity.Signed{a.record("b", 2, 2, now, identity.Record{Away: true})}, nil, []string{"b"}, nil},
		{"whoever left claims nothing", []*identity.Signed{a.record("b", 2, 2, fresh, identity.Record{Left: true}), a.record("c", 2, 2, old, identity.Record{})}, nil, []string{"c"}, nil},
		{"our address", []*identity.Signed{a.record("b", 1, 2, now, identity.Record{})}, nil, nil, []string{"b"}},
		{"our key", []*identity.Signed{a.record("b", 2, 1, now, identity.Record{})}, nil, nil, []string{"b"}},
		{"one address: the later certificate", []*identity.Signed{a.record("b", 2, 2, old, identity.Record{}), a.record("c", 2, 3, fresh, identity.Record{})}, []string{"b"}, []string{"c"}, []string{"b"}},
		{"one key: the later certificate", []*identity.Signed{a.record("b", 2, 2, old, identity.Record{}), a.record("c", 3, 2, fresh, identity.Record{})}, nil, []string{"c"}, []string{"b"}},
		{"one key: whoever proved it", []*identity.Signed{a.record("b", 2, 2, old, identity.Record{}), a.record("c", 3, 2, fresh, identity.Record{})}, []string{"b"}, []string{"b"}, []string{"c"}},
	}
	for _, tt := range tests {
		records := map[string]*identity.Signed{}
		for _, s := range tt.records {
			records[s.Grant.Node] = s
		}
		members, refused := resolve(self, records, func(s *identity.Signed) int64 {
			if slices.Contains(tt.proved, s.Grant.Node) {
				return 0
			}
			return 1
		})
		var got, bad []string
		for _, s := range members {
			got = append(got, s.Grant.Node)
		}
		for _, c := range refused {
			bad = append(bad, c.name)
		}
		if d := cmp.Diff(tt.want, got) + cmp.Diff(tt.refused, bad); d != "" {
			t.Errorf("%s: members and refused (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestDesired(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	self := a.record("self", 1, 1, now, identity.Record{})
	b := a.record("b", 2, 2, now, identity.Record{})
	c := a.record("c", 3, 3, now, identity.Record{})
	mesh := a.ca.Mesh
	to := netip.MustParseAddrPort("203.0.113.7:51820")
	got := desired(base{key: overlay.Key{9}, port: 51820, mtu: 1400, mesh: mesh, grant: self.Grant},
		[]member{{signed: b, endpoint: to}, {signed: c, quiet: true}})
	host := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
	want := overlay.Config{
		PrivateKey: overlay.Key{9}, Port: 51820, MTU: 1400,
		Addresses: []netip.Prefix{host(self.Grant.IP), host(self.Grant.IP6)},
		Routes:    []netip.Prefix{mesh.CIDR, mesh.CIDR6},
		Peers: []overlay.Peer{
			{PublicKey: overlay.Key{2, 9}, Endpoint: to, AllowedIPs: []netip.Prefix{host(b.Grant.IP), host(b.Grant.IP6)}, Keepalive: 25 * time.Second},
			{PublicKey: overlay.Key{3, 9}, AllowedIPs: []netip.Prefix{host(c.Grant.IP), host(c.Grant.IP6)}},
		},
	}
	equal := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}
	if d := cmp.Diff(want, got, equal); d != "" {
		t.Errorf("config (-want +got):\n%s", d)
	}
}

func TestMissing(t *testing.T) {
	d := func(v uint64, h byte) Digest { return Digest{v, [16]byte{h}} }
	mine := map[string]Digest{"same": d(1, 1), "older": d(1, 1), "newer": d(9, 1), "conflict": d(1, 1)}
	others := map[string]Digest{"same": d(1, 1), "older": d(2, 1), "newer": d(3, 1), "conflict": d(1, 2), "unknown": d(1, 1)}
	if diff := cmp.Diff([]string{"conflict", "older", "unknown"}, missing(mine, others)); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestBookOrder(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	b := newBook()
	first := a.record("b", 2, 2, now, identity.Record{Version: 5})
	tests := []struct {
		name string
		add  *identity.Signed
		want verdict
	}{
		{"first", first, verdictNew},
		{"again", first, verdictKnown},
		{"issued earlier to another key", a.record("b", 2, 2, now.Add(-time.Hour), identity.Record{Version: 9}), verdictOlder},
		{"issued later to another key", a.record("b", 2, 2, now.Add(30*time.Minute), identity.Record{Version: 1}), verdictNewer},
	}
	for _, tt := range tests {
		if got := b.add(tt.add); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if got := len(b.prune(a.roots, now.Add(48*time.Hour))); got != 1 || len(b.records) != 0 {
		t.Errorf("expired records: pruned %d, kept %d; want 1, 0", got, len(b.records))
	}
}

func TestSummaryRoundTrip(t *testing.T) {
	s := Summary{From: "a", Revocations: 3, Records: map[string]Digest{"b": {7, [16]byte{1, 2}}}}
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSummary(b)
	if err != nil || got.From != s.From || got.Revocations != 3 || !maps.Equal(got.Records, s.Records) {
		t.Errorf("got %+v, %v; want %+v", got, err, s)
	}
}
