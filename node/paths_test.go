package node_test

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
)

var (
	endpointOfB = netip.MustParseAddrPort("192.0.2.1:51820")
	triedB      = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
)

func (m *fakeMesh) Way(name string) (protocol.Way, bool) {
	return protocol.Way{
		Name: "b", State: "up", Path: "public", Class: "public", Endpoint: endpointOfB, RTT: 1500 * time.Microsecond, Steers: "a",
		Candidates: []protocol.Candidate{{Endpoint: endpointOfB, Kind: "public", Class: "public", Tried: triedB, Tries: 2, Verdict: protocol.VerdictInUse}},
	}, name == "b"
}

func (m *fakeMesh) Why(name string) protocol.Case {
	return protocol.Case{Name: name, Standing: protocol.StandingUnknown, Near: []string{"b"}}
}

func (m *fakeMesh) Routes() (own, networks []netip.Prefix, routes []mesh.Route) {
	p := netip.MustParsePrefix
	return []netip.Prefix{p("10.66.0.1/32")}, []netip.Prefix{p("10.66.0.0/16")}, []mesh.Route{{Prefix: p("10.66.0.2/32"), Peer: "b", State: mesh.StateUp}}
}

// TestPathVerbs: what the mesh knows of the ways to others reaches the socket,
// and before there is a mesh the socket says so.
func TestPathVerbs(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: newFakeMesh(), Device: &fakeDevice{}})
	r := start(t, n, c)
	r.until("mesh", func() error { _, err := r.c.Routes(t.Context()); return err })

	path, err := r.c.Path(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	rtt, tried := 1.5, triedB.UTC()
	want := control.Path{
		Name: "b", State: control.StateUp, Path: "public", Class: "public", Endpoint: "192.0.2.1:51820", RTTMs: &rtt, Steers: "a",
		Candidates: []control.Candidate{{Endpoint: "192.0.2.1:51820", Kind: "public", Class: "public", LastTried: &tried, Tries: 2, Verdict: "in use"}},
	}
	if d := cmp.Diff(want, path); d != "" {
		t.Errorf("path (-want +got):\n%s", d)
	}
	_, err = r.c.Path(t.Context(), "x")
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Status != http.StatusNotFound {
		t.Errorf("path of an unknown node: %v, want 404", err)
	}
	why, err := r.c.Why(t.Context(), "x")
	if err != nil || why.Standing != "unknown" || len(why.Advice) == 0 || why.Advice[0] != "Did you mean b?" {
		t.Errorf("why: %+v, %v", why, err)
	}
	routes, err := r.c.Routes(t.Context())
	wantRoutes := control.Routes{
		Interface: "cbt0", Addresses: []string{"10.66.0.1/32"}, Networks: []string{"10.66.0.0/16"},
		Routes: []control.Route{{Prefix: "10.66.0.2/32", Peer: "b", State: control.StateUp}},
	}
	if d := cmp.Diff(wantRoutes, routes); err != nil || d != "" {
		t.Errorf("routes: %v (-want +got):\n%s", err, d)
	}
}
