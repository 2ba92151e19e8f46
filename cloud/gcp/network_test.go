package gcp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/gcp"
	simgcp "github.com/cbnet-io/cbnet/test/cloudsim/gcp"
)

const region = "asia-northeast3"

var owner = cloud.Owner{Mesh: "mesh", MCIS: "shop"}

// network is what the tests below ask for.
func network() cloud.NetworkSpec {
	return cloud.NetworkSpec{Owner: owner, Region: region, Name: "shop", CIDR: netip.MustParsePrefix("10.0.0.0/24"),
		Open: []cloud.Port{{Protocol: "udp", Number: 51820}}}
}

// driver returns a driver of the cloud, and what its calls are counted by.
func (s *site) driver(t *testing.T) (*gcp.Driver, *cloudtest.Lossy) {
	t.Helper()
	l := &cloudtest.Lossy{Next: newGoogle(t).check(t, nil)}
	return newDriver(t, gcp.Config{Endpoint: s.url, Credentials: s.sim.Credentials(), Transport: l}), l
}

// change makes a change as someone else would.
func (s *site) change(t *testing.T, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/compute/v1/projects/cloudsim/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d", method, path, resp.StatusCode)
	}
}

func ensure(t *testing.T, d cloud.Driver, spec cloud.NetworkSpec) cloud.Network {
	t.Helper()
	n, err := d.EnsureNetwork(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFirewall: the rule is exactly what is asked for, whoever changed it.
func TestFirewall(t *testing.T) {
	s := open(t)
	d, _ := s.driver(t)
	spec := network()
	rule := func() string {
		f := s.get(t, "global/firewalls/shop-"+region)
		return fmt.Sprint(f["allowed"], f["sourceRanges"], f["targetTags"], f["disabled"])
	}
	for _, tc := range []struct {
		name string
		open []cloud.Port
		want string
	}{
		{"one port", []cloud.Port{{Protocol: "udp", Number: 51820}}, "[map[IPProtocol:udp ports:[51820]]] [0.0.0.0/0] <nil> false"},
		{"more ports", []cloud.Port{{Protocol: "udp", Number: 51820}, {Protocol: "tcp", Number: 7950}, {Protocol: "tcp", Number: 443}, {Protocol: "tcp", Number: 443}},
			"[map[IPProtocol:tcp ports:[443 7950]] map[IPProtocol:udp ports:[51820]]] [0.0.0.0/0] <nil> false"},
		{"none", nil, "[map[IPProtocol:icmp]] [0.0.0.0/0] <nil> true"},
		{"one again", []cloud.Port{{Protocol: "tcp", Number: 22}}, "[map[IPProtocol:tcp ports:[22]]] [0.0.0.0/0] <nil> false"},
	} {
		spec.Open = tc.open
		ensure(t, d, spec)
		if got := rule(); got != tc.want {
			t.Errorf("%s: the rule is %s, want %s", tc.name, got, tc.want)
		}
	}
	want := rule()
	for _, body := range []string{`{"allowed": [{"IPProtocol": "all"}]}`, `{"sourceRanges": ["10.0.0.0/8"]}`, `{"disabled": true}`, `{"targetTags": ["web"]}`} {
		ensure(t, d, spec) // until an operation has ended
		s.change(t, http.MethodPatch, "global/firewalls/shop-"+region, body)
		ensure(t, d, spec)
		if got := rule(); got != want {
			t.Errorf("after %s: the rule is %s, want %s", body, got, want)
		}
	}
}

// TestTakesOver: a repeat waits for what an earlier try began and did not see the
// end of, creations and deletions.
func TestTakesOver(t *testing.T) {
	s := open(t, func(o *simgcp.Options) { o.OpTime = 300 * time.Millisecond })
	d, _ := s.driver(t)
	spec := network()
	spec.NAT = true
	for n := range 4 { // network, subnetwork, firewall rule, router
		spec.Name = fmt.Sprintf("shop-%d", n)
		l := &cloudtest.Lossy{Lose: func(i int, _ string, _ [32]byte) bool { return i == n }}
		lossy := newDriver(t, gcp.Config{Endpoint: s.url, Credentials: s.sim.Credentials(), Transport: l})
		if _, err := lossy.EnsureNetwork(t.Context(), spec); !errors.Is(err, cloud.ErrUnavailable) || len(l.Lost()) != 1 {
			t.Fatalf("after %v: got %v, want a lost answer", l.Lost(), err)
		}
		ensure(t, d, spec)
		list, err := d.List(t.Context(), region, owner)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range cloud.DeleteOrder(list) { // all but the last of these have just begun to go
			if err := d.Delete(t.Context(), r); err != nil && !errors.Is(err, cloud.ErrInUse) {
				t.Fatal(err)
			}
		}
		ensure(t, d, spec)
	}
}

// TestNotOurs: what has the name and not the mark, or another range, is left
// alone.
func TestNotOurs(t *testing.T) {
	s := open(t)
	d, _ := s.driver(t)
	ensure(t, d, network())
	for name, change := range map[string]func(*cloud.NetworkSpec){
		"another owner": func(n *cloud.NetworkSpec) { n.Owner.MCIS = "other" },
		"another range": func(n *cloud.NetworkSpec) { n.CIDR = netip.MustParsePrefix("10.0.1.0/24") },
	} {
		spec := network()
		change(&spec)
		if _, err := d.EnsureNetwork(t.Context(), spec); !errors.Is(err, cloud.ErrConflict) || !strings.Contains(err.Error(), "shop-"+region) {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
	// The same name in another region is another network.
	spec := network()
	spec.Region = "us-east1"
	if other := ensure(t, d, spec); other == ensure(t, d, network()) {
		t.Errorf("two regions have the network %+v", other)
	}
}

// machine asks for a machine of the network.
func machine(n cloud.Network, i int) cloud.VMSpec {
	ip, _ := cloud.VMAddr(network().CIDR, i)
	return cloud.VMSpec{Owner: owner, Region: region, Network: n, Name: fmt.Sprintf("web-%d", i), Node: fmt.Sprintf("web-%d", i), Token: fmt.Sprintf("token-%d", i),
		PrivateIP: ip, Spec: "e2-small", Image: "projects/debian-cloud/global/images/debian-12-bookworm-v20251111"}
}

// TestCallsPerVM: a machine takes four calls from creation to deletion, beyond
// what is asked once and the lists.
func TestCallsPerVM(t *testing.T) {
	s := open(t)
	d, l := s.driver(t)
	n := ensure(t, d, network())
	create := func(i int) cloud.VM {
		t.Helper()
		vm, err := d.CreateVM(t.Context(), machine(n, i))
		if err != nil {
			t.Fatal(err)
		}
		return vm
	}
	create(0) // asks where the machine type is offered
	count := func() int { return len(l.Calls()) + l.Others() }
	const machines = 10
	before := count()
	var made []cloud.VM
	for i := 1; i <= machines; i++ {
		made = append(made, create(i))
	}
	if got := count() - before; got != 2*machines {
		t.Errorf("%d calls to create %d machines", got, machines)
	}
	running := func() (out []cloud.Resource) {
		t.Helper()
		list, err := d.List(t.Context(), region, owner)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Kind == cloud.KindVM && r.VM.State == cloud.VMRunning && r.VM.ID != made[0].ID {
				out = append(out, r)
			}
		}
		return out
	}
	for len(running()) < machines {
	}
	before = count()
	list := running()
	if got := count() - before; got != 6 {
		t.Errorf("%d calls to list %d machines", got, machines)
	}
	before = count()
	for _, r := range list {
		if err := d.Delete(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if got := count() - before; got != 2*len(list) {
		t.Errorf("%d calls to delete %d machines", got, len(list))
	}
}

// TestZones: the zone offers the machine type, is the same on every try, and the
// one that is asked for.
func TestZones(t *testing.T) {
	s := open(t)
	d, _ := s.driver(t)
	n := ensure(t, d, network())
	zones := map[string]int{}
	for i := range 12 {
		spec := machine(n, i)
		spec.Spec = "n4-standard-2" // offered in the first two zones of a region
		vm, err := d.CreateVM(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		again := newDriver(t, gcp.Config{Endpoint: s.url, Credentials: s.sim.Credentials()}) // remembers nothing
		if same, err := again.CreateVM(t.Context(), spec); err != nil || same.ID != vm.ID {
			t.Errorf("%s became %s, %v", vm.ID, same.ID, err)
		}
		zones[vm.Zone]++
	}
	if zones[region+"-a"] < 2 || zones[region+"-b"] < 2 || len(zones) != 2 {
		t.Errorf("machines by zone: %v", zones)
	}
	spec := machine(n, 30)
	spec.Zone = region + "-c"
	if vm, err := d.CreateVM(t.Context(), spec); err != nil || vm.Zone != spec.Zone {
		t.Errorf("asked for %s, got %s, %v", spec.Zone, vm.Zone, err)
	}
	for _, zone := range []string{"", region + "-c"} {
		spec := machine(n, 31)
		spec.Zone, spec.Spec = zone, "n4-standard-9"
		if _, err := d.CreateVM(t.Context(), spec); !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), "n4-standard-9") {
			t.Errorf("a machine type that zone %q has not: %v", zone, err)
		}
	}
}

// TestTokenMismatch: a name that another token's machine has is a conflict.
func TestTokenMismatch(t *testing.T) {
	s := open(t)
	d, _ := s.driver(t)
	n := ensure(t, d, network())
	spec := machine(n, 0)
	spec.Zone = region + "-a"
	vm, err := d.CreateVM(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	spec.Token = "another"
	for {
		if _, err = d.CreateVM(t.Context(), spec); !errors.Is(err, cloud.ErrUnavailable) { // not visible yet
			break
		}
	}
	if !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	got := s.get(t, "zones/"+strings.Replace(vm.ID, "/", "/instances/", 1))
	labels, _ := got["labels"].(map[string]any)
	want := map[string]any{"cbnet-mesh": "mesh", "cbnet-mcis": "shop", "cbnet-node": "web-0", "cbnet-token": "token-0", "cbnet-region": region}
	if diff := cmp.Diff(want, labels); diff != "" || got["description"] != "cbnet-mesh=mesh cbnet-mcis=shop cbnet-node=web-0 cbnet-token=token-0" {
		t.Errorf("the mark is %q and (-want +got)\n%s", got["description"], diff)
	}
}
