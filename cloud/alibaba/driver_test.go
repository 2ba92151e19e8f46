package alibaba_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
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
	spec.SSHKey = newRSAKey(t)
	n := ensure(t, d, spec)
	spec.Open = []cloud.Port{{Protocol: "tcp", Number: 443}} // one rule goes, one comes
	if again := ensure(t, d, spec); again != n {
		t.Fatalf("the network %+v became %+v", n, again)
	}
	vm := vmSpec(n)
	zones := map[string]bool{}
	for _, r := range list(t, d) {
		zones[string(r.Kind)] = true
	}
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
	clear(t, d)
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

// clear deletes all that the owner has.
func clear(t *testing.T, d *alibaba.Driver) {
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
