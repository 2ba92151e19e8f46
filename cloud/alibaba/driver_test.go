package alibaba_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
)

var owner = cloud.Owner{Mesh: "mesh-1", MCIS: "mcis-1"}

func networkSpec() cloud.NetworkSpec {
	return cloud.NetworkSpec{
		Owner: owner, Region: region, Name: "net-1", CIDR: netip.MustParsePrefix("10.7.0.0/24"),
		Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
	}
}

func vmSpec(n cloud.Network) cloud.VMSpec {
	return cloud.VMSpec{
		Owner: owner, Region: region, Name: "vm-1", Node: "vm-1", Token: "token-1", Network: n, PrivateIP: netip.MustParseAddr("10.7.0.10"),
		Spec: "ecs.u1-c1m2.large", Image: "debian_12_9_x64_20G_alibase_20250117.vhd", PublicIP: true,
	}
}

// everything makes each call of the driver at least once.
func everything(t *testing.T, d *alibaba.Driver) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spec := networkSpec()
	spec.SSHKey = cloudtest.NewKey(t, ssh.KeyAlgoECDSA256)
	n := ensure(t, d, spec)
	spec.Open = []cloud.Port{{Protocol: "tcp", Number: 443}} // one rule goes, one comes
	if again := ensure(t, d, spec); again != n {
		t.Fatalf("the network %+v became %+v", n, again)
	}
	vm := vmSpec(n)
	vm.Zone = "ap-northeast-2b"
	vm.Labels = map[string]string{"팀": "인프라", "link": "http://example", "Name": "x"}
	made, err := d.CreateVM(ctx, vm)
	must(err)
	state := func(want cloud.VMState) {
		t.Helper()
		eventually(t, string(want), func() bool {
			for _, r := range list(t, d) {
				if r.Kind == cloud.KindVM {
					return r.VM.State == want
				}
			}
			return false
		})
	}
	state(cloud.VMRunning)
	_, err = d.ConsoleOutput(ctx, region, made.ID)
	must(err)
	must(d.Stop(ctx, region, made.ID))
	state(cloud.VMStopped)
	must(d.Start(ctx, region, made.ID))
	state(cloud.VMRunning)
	must(d.Reboot(ctx, region, made.ID))
	state(cloud.VMRunning)
	for _, look := range []func() error{
		func() error { _, err := d.Regions(ctx); return err },
		func() error { _, err := d.Specs(ctx, region); return err },
		func() error { _, err := d.Images(ctx, region); return err },
		func() error { _, err := d.Quotas(ctx, region); return err },
	} {
		must(look())
	}
	clearAll(t, d)
}

// ensure makes a network, again while the cloud says not yet.
func ensure(t *testing.T, d *alibaba.Driver, spec cloud.NetworkSpec) (n cloud.Network) {
	t.Helper()
	eventually(t, "network", func() bool {
		var err error
		n, err = d.EnsureNetwork(t.Context(), spec)
		if err != nil && !cloud.Retryable(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	return n
}

func list(t *testing.T, d *alibaba.Driver) []cloud.Resource {
	t.Helper()
	res, err := d.List(t.Context(), region, owner)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// clearAll deletes all that the owner has.
func clearAll(t *testing.T, d *alibaba.Driver) {
	t.Helper()
	eventually(t, "everything deleted", func() bool {
		res := cloud.DeleteOrder(list(t, d))
		for _, r := range res {
			_ = d.Delete(t.Context(), r) // what is in use goes next time
		}
		return len(res) == 0
	})
}

// eventually polls cond, since what it waits for goes on by itself.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestRefusals are requests that the driver refuses by itself, or explains.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := open(t)
	d := s.driver(t, nil)
	n := ensure(t, d, networkSpec())
	for name, tc := range map[string]struct {
		change func(*cloud.NetworkSpec, *cloud.VMSpec)
		words  string
	}{
		"Alibaba's own range": {func(n *cloud.NetworkSpec, _ *cloud.VMSpec) { n.CIDR = netip.MustParsePrefix("100.100.0.0/16") }, "100.64.0.0/10"},
		"a way out":           {func(n *cloud.NetworkSpec, _ *cloud.VMSpec) { n.NAT = true }, "way out"},
		"another zone":        {func(_ *cloud.NetworkSpec, v *cloud.VMSpec) { v.Zone = "ap-northeast-2a" }, "ap-northeast-2b"},
		"a label of theirs":   {func(_ *cloud.NetworkSpec, v *cloud.VMSpec) { v.Labels = map[string]string{"aliyun": "x"} }, "aliyun"},
		"an unknown region":   {func(n *cloud.NetworkSpec, v *cloud.VMSpec) { n.Region, v.Region = "ap-northeast-9", "ap-northeast-9" }, "ap-northeast-2"},
		"no region's name":    {func(n *cloud.NetworkSpec, v *cloud.VMSpec) { n.Region, v.Region = "Seoul, Korea", "Seoul, Korea" }, "near"},
		"an Ed25519 key": {func(n *cloud.NetworkSpec, _ *cloud.VMSpec) {
			n.SSHKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		}, "alibaba takes ssh-rsa"},
	} {
		spec, vm := networkSpec(), vmSpec(n)
		tc.change(&spec, &vm)
		_, err := d.EnsureNetwork(t.Context(), spec)
		if err == nil {
			_, err = d.CreateVM(t.Context(), vm)
		}
		if !errors.Is(err, cloud.ErrInvalid) || !strings.Contains(err.Error(), tc.words) || !strings.Contains(err.Error(), "alibaba") {
			t.Errorf("%s: got %v, want ErrInvalid with %q", name, err, tc.words)
		}
		if res := list(t, d); len(res) != 3 {
			t.Errorf("%s: %d resources, want the network's three", name, len(res))
		}
	}
	clearAll(t, d)
}

// TestAgain makes, deletes and makes the same network and machine again: the
// tokens of the network answer with what is gone, and a new token makes a new
// machine.
func TestAgain(t *testing.T) {
	t.Parallel()
	d := open(t).driver(t, nil)
	seen := map[string]bool{}
	for life := range 3 {
		n := ensure(t, d, networkSpec())
		spec := vmSpec(n)
		spec.Token = fmt.Sprint("token-", life)
		vm, err := d.CreateVM(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{n.ID, n.SubnetID, n.SecurityGroup, vm.ID} {
			if seen[id] {
				t.Errorf("life %d: %s is one of an earlier life", life, id)
			}
			seen[id] = true
		}
		clearAll(t, d)
	}
}

// TestNames round-trips names that Alibaba does not take, and labels.
func TestNames(t *testing.T) {
	t.Parallel()
	d := open(t).driver(t, nil)
	for _, name := range []string{"a", "7", "3-tier", "x--1", "web"} {
		spec := networkSpec()
		spec.Name, spec.SSHKey = name, cloudtest.NewKey(t, ssh.KeyAlgoECDSA256)
		n := ensure(t, d, spec)
		vm := vmSpec(n)
		vm.Name, vm.Token = name, "token-"+name
		vm.Labels = map[string]string{
			"팀": "인프라", "地域": "東京", "数据": "北京", "url": "http://example/x", "ACS:x": "y", "x--a": "x--", "note": "", "Name": "n",
		}
		made, err := d.CreateVM(t.Context(), vm)
		if err != nil || made.Name != name {
			t.Fatalf("%s: %+v, %v", name, made, err)
		}
		eventually(t, name+" listed", func() bool { return len(list(t, d)) == 5 })
		for _, r := range list(t, d) {
			switch {
			case r.Kind == cloud.KindKey && r.Name != n.Key, r.Kind != cloud.KindKey && r.Name != name:
				t.Errorf("%s: %s is called %q", name, r.Kind, r.Name)
			case r.Kind == cloud.KindVM && !maps.Equal(r.Labels, vm.Labels):
				t.Errorf("%s: labels %q, want %q", name, r.Labels, vm.Labels)
			}
		}
		clearAll(t, d)
	}
}

// TestCalls counts the requests that a machine costs.
func TestCalls(t *testing.T) {
	t.Parallel()
	s := open(t)
	n := ensure(t, s.driver(t, nil), networkSpec())
	all := &tape{seen: map[call][]map[string]bool{}}
	d := s.driver(t, recorder{all, http.DefaultTransport})
	vm, err := d.CreateVM(t.Context(), vmSpec(n))
	if err != nil {
		t.Fatal(err)
	}
	quiet := s.driver(t, nil)
	eventually(t, "running", func() bool {
		return slices.ContainsFunc(list(t, quiet), func(r cloud.Resource) bool { return r.VM != nil && r.VM.State == cloud.VMRunning })
	})
	if err := d.Delete(t.Context(), cloud.Resource{Kind: cloud.KindVM, Region: region, ID: vm.ID, Owner: owner}); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for c, requests := range all.seen {
		t.Logf("%d %s", len(requests), c.Action)
		calls += len(requests)
	}
	if calls != 4 {
		t.Errorf("%d calls, want 4", calls)
	}
	clearAll(t, quiet)
}
