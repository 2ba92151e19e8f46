package cloudtest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
)

// scenario is one owner with one network and a few machines. Its calls may be
// cut by a lossy transport: each is repeated with a new driver until it ends
// with something else than ErrUnavailable or ErrThrottled.
type scenario struct {
	*suite
	t         testing.TB
	transport http.RoundTripper
	owner     cloud.Owner
	d         cloud.Driver
	net       cloud.Network
	spec      string
	image     string
	key       string // NetworkSpec.SSHKey
	nat       bool   // NetworkSpec.NAT
	long      bool   // names of the greatest length
}

// begin makes a scenario with a random owner. Whatever the test does, at its
// end everything the owner has is deleted.
func (s *suite) begin(t testing.TB, transport http.RoundTripper) *scenario {
	t.Helper()
	if transport == nil {
		transport = http.DefaultTransport
	}
	sc := &scenario{suite: s, t: t, transport: transport}
	sc.owner = cloud.Owner{Mesh: "mesh-" + strings.ToLower(rand.Text()[:8]), MCIS: "mcis-" + strings.ToLower(rand.Text()[:8])}
	sc.d = s.New(t, http.DefaultTransport)
	sc.key = keyFor(t, sc.d, true)
	sc.spec, sc.image = s.resolve(t, sc.d)
	sc.d = s.New(t, transport)
	t.Cleanup(func() {
		if s.SetFaults != nil {
			s.SetFaults(t, Faults{})
		}
		sc.transport = http.DefaultTransport
		sc.d = s.New(t, http.DefaultTransport)
		sc.deleteAll()
	})
	return sc
}

// resolve asks the catalogue once for what all scenarios use.
func (s *suite) resolve(t testing.TB, d cloud.Driver) (spec, image string) {
	t.Helper()
	if s.spec != "" {
		return s.spec, s.image
	}
	c, ok := cloud.As[cloud.Catalog](d)
	if !ok {
		t.Fatal("the driver has no Catalog")
	}
	specs, err := c.Specs(t.Context(), s.Region)
	fatal(t, "specs", err)
	images, err := c.Images(t.Context(), s.Region)
	fatal(t, "images", err)
	sp, err := cloud.ResolveSpec(specs, "", s.VCPU, s.MemoryMiB)
	fatal(t, "resolve spec", err)
	im, err := cloud.ResolveImage(images, s.Image)
	fatal(t, "resolve image", err)
	s.spec, s.image = sp.Name, im.ID
	return s.spec, s.image
}

// try calls do until it ends with something else than a lost answer, each time
// with a new driver.
func (sc *scenario) try(what string, do func(cloud.Driver) error) error {
	sc.t.Helper()
	const most = 60 // EnsureNetwork has about ten calls whose answer can be lost
	for range most {
		err := do(sc.d)
		if !cloud.Retryable(err) {
			return err
		}
		sc.d = sc.New(sc.t, sc.transport)
	}
	return fmt.Errorf("%s: no success after %d tries", what, most)
}

func (sc *scenario) networkSpec() cloud.NetworkSpec {
	return cloud.NetworkSpec{
		Owner: sc.owner, Region: sc.Region, Name: sc.name("cbnet-"+sc.owner.MCIS, cloud.MaxNetworkName), CIDR: cidr,
		Open: []cloud.Port{{Protocol: "udp", Number: 51820}, {Protocol: "tcp", Number: 443}},
		NAT:  sc.nat, SSHKey: sc.key,
	}
}

// withNAT asks for a way out in all that follows, if the driver has one.
func (sc *scenario) withNAT() *scenario {
	_, sc.nat = cloud.As[cloud.NAT](sc.d)
	return sc
}

// name returns the name, filled up to the limit if the scenario is about that.
func (sc *scenario) name(s string, limit int) string {
	if sc.long {
		s += strings.Repeat("x", limit-len(s))
	}
	return s
}

func (sc *scenario) ensureNetwork() cloud.Network {
	sc.t.Helper()
	var n cloud.Network
	fatal(sc.t, "ensure network", sc.try("ensure network", func(d cloud.Driver) (err error) {
		n, err = d.EnsureNetwork(sc.ctx(), sc.networkSpec())
		return err
	}))
	if n.ID == "" || n.SubnetID == "" || n.SecurityGroup == "" {
		sc.t.Fatalf("ensure network: an id is missing: %+v", n)
	}
	if (n.Key == "") != (sc.key == "") {
		sc.t.Fatalf("ensure network: key %q for %q", n.Key, sc.key)
	}
	sc.net = n
	return n
}

// vmSpec describes the i-th machine of the scenario.
func (sc *scenario) vmSpec(i int) cloud.VMSpec {
	ip, ok := cloud.VMAddr(cidr, i)
	if !ok {
		sc.t.Fatalf("no address for VM %d", i)
	}
	var labels map[string]string
	if i%2 == 0 {
		labels = userLabels
	}
	return cloud.VMSpec{
		Owner: sc.owner, Region: sc.Region, Network: sc.net, Labels: labels,
		Name: sc.name(fmt.Sprintf("%s-vm-%d", sc.owner.MCIS, i), cloud.MaxVMName), Node: fmt.Sprintf("vm-%d", i),
		Token:     sc.name(fmt.Sprintf("%s-vm-%d-create-1", sc.owner.MCIS, i), cloud.MaxToken),
		PrivateIP: ip, Spec: sc.spec, Image: sc.image,
		UserData: []byte("#!/bin/sh\nexit 0\n"),
		PublicIP: i%2 == 0, Forwards: i%2 == 0,
	}
}

func (sc *scenario) createVM(spec cloud.VMSpec) cloud.VM {
	sc.t.Helper()
	var vm cloud.VM
	fatal(sc.t, "create VM", sc.try("create VM", func(d cloud.Driver) (err error) {
		vm, err = d.CreateVM(sc.ctx(), spec)
		return err
	}))
	if vm.ID == "" || vm.Token != spec.Token || vm.Name != spec.Name || vm.Node != spec.Node {
		sc.t.Fatalf("create VM: got %+v for %s, token %s", vm, spec.Name, spec.Token)
	}
	return vm
}

func (sc *scenario) list() []cloud.Resource {
	sc.t.Helper()
	var res []cloud.Resource
	fatal(sc.t, "list", sc.try("list", func(d cloud.Driver) (err error) {
		res, err = d.List(sc.ctx(), sc.Region, sc.owner)
		return err
	}))
	for _, r := range res {
		if r.ID == "" || r.Owner != sc.owner || r.Region != sc.Region || (r.VM != nil) != (r.Kind == cloud.KindVM) {
			sc.t.Fatalf("list: bad resource %+v", r)
		}
	}
	return res
}

// running waits until the owner has just these machines, all of them running,
// and returns them by token.
func (sc *scenario) running(want ...cloud.VMSpec) map[string]cloud.VM {
	sc.t.Helper()
	vms, labels := map[string]cloud.VM{}, map[string]map[string]string{}
	sc.eventually("machines running", func() string {
		clear(vms)
		for _, r := range sc.list() {
			if r.Kind != cloud.KindVM {
				continue
			}
			if r.VM.State == cloud.VMFailed {
				sc.t.Fatalf("VM %s failed: %s", r.Name, r.VM.Reason)
			}
			if other, ok := vms[r.VM.Token]; ok {
				sc.t.Fatalf("DOUBLE: token %s has the machines %s and %s", r.VM.Token, other.ID, r.ID)
			}
			if r.VM.State == cloud.VMRunning {
				vms[r.VM.Token], labels[r.VM.Token] = *r.VM, r.Labels
			}
		}
		for _, w := range want {
			vm, ok := vms[w.Token]
			if !ok {
				return fmt.Sprintf("%s does not run yet", w.Name)
			}
			if w.PublicIP && !vm.PublicIP.IsValid() && sc.Quirks.NoPublicIP == "" {
				return fmt.Sprintf("%s has no public address yet", w.Name)
			}
		}
		return ""
	})
	if len(vms) != len(want) {
		sc.t.Fatalf("%d machines run, want %d: %+v", len(vms), len(want), vms)
	}
	for _, w := range want {
		vm := vms[w.Token]
		if vm.PrivateIP != w.PrivateIP && !skip(sc.t, "private address", sc.Quirks.AnyPrivateIP) {
			sc.t.Errorf("%s has the private address %s, want %s", w.Name, vm.PrivateIP, w.PrivateIP)
		}
		if diff := cmp.Diff(w.Labels, labels[w.Token]); diff != "" {
			sc.t.Errorf("labels of %s (-want +got):\n%s", w.Name, diff)
		}
		if !w.PublicIP && vm.PublicIP.IsValid() {
			sc.t.Errorf("%s has the public address %s, want none", w.Name, vm.PublicIP)
		}
	}
	return vms
}

// kinds checks how many resources of each kind the owner has.
func (sc *scenario) kinds(want map[cloud.Kind]int) {
	sc.t.Helper()
	got := map[cloud.Kind]int{}
	res := sc.list()
	for _, r := range res {
		got[r.Kind]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		sc.t.Fatalf("inventory (-want +got):\n%s%+v", diff, res)
	}
}

// full is the inventory of the scenario with n machines. What belongs to a
// machine (port, public address) is not listed beside it.
func (sc *scenario) full(n int) map[cloud.Kind]int {
	m := map[cloud.Kind]int{}
	for _, k := range sc.Kinds {
		m[k]++
	}
	if sc.nat {
		for _, k := range sc.NATKinds {
			m[k]++
		}
	}
	if sc.pair() {
		m[cloud.KindKey] = 1
	}
	if n > 0 {
		m[cloud.KindVM] = n
	}
	return m
}

// deleteAll deletes what the owner has until List is empty, and checks that the
// endpoint agrees.
func (sc *scenario) deleteAll() {
	sc.t.Helper()
	sc.eventually("everything deleted", func() string {
		res := sc.list()
		for _, r := range cloud.DeleteOrder(res) {
			err := sc.try("delete "+r.ID, func(d cloud.Driver) error { return d.Delete(sc.ctx(), r) })
			if err != nil && !errors.Is(err, cloud.ErrInUse) {
				sc.t.Fatalf("delete %s %s: %v", r.Kind, r.ID, err)
			}
		}
		if res = sc.list(); len(res) > 0 {
			return fmt.Sprintf("%d left, the first %s %s %s", len(res), res[0].Kind, res[0].ID, res[0].Name)
		}
		return ""
	})
	if sc.Inventory == nil {
		return
	}
	sc.eventually("the endpoint's own inventory empty", func() string {
		return strings.Join(sc.Inventory(sc.t, sc.owner.Mesh), "; ")
	})
}

// eventually polls until check returns "".
func (sc *scenario) eventually(what string, check func() string) {
	sc.t.Helper()
	end := time.NewTimer(sc.Timeout)
	defer end.Stop()
	tick := time.NewTicker(sc.Tick)
	defer tick.Stop()
	for {
		left := check()
		if left == "" {
			return
		}
		select {
		case <-end.C:
			sc.t.Fatalf("%s: not within %s: %s", what, sc.Timeout, left)
		case <-tick.C:
		}
	}
}

// find returns the owner's only resource of a kind.
func (sc *scenario) find(kind cloud.Kind) cloud.Resource {
	sc.t.Helper()
	res := sc.list()
	i := slices.IndexFunc(res, func(r cloud.Resource) bool { return r.Kind == kind })
	if i < 0 {
		sc.t.Fatalf("no %s in %+v", kind, res)
	}
	return res[i]
}

func fatal(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// inCIDR reports whether a is an address of the suite's network.
func inCIDR(a netip.Addr) bool { return cidr.Contains(a) }
