package fabric_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// paper opens a fabric without machines.
func paper(t *testing.T, boot time.Duration) *fabric.Fabric {
	t.Helper()
	return simtest.Paper(t, boot)
}

func vm(id, ip string) fabric.VM {
	return fabric.VM{
		ID: id, NetworkID: "net", PrivateIP: netip.MustParseAddr(ip), Subnet: netip.MustParsePrefix("10.0.1.0/24"), Datasource: "Ec2",
	}
}

func addNet(t *testing.T, f *fabric.Fabric, id string) {
	t.Helper()
	if err := f.AddNetwork(t.Context(), fabric.Network{ID: id, CIDR: netip.MustParsePrefix("10.0.0.0/16")}); err != nil {
		t.Fatal(err)
	}
}

func TestLifeCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true, BootTime: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close(t.Context())
		addNet(t, f, "net")
		for _, step := range []struct {
			name    string
			do      func(context.Context, string) error
			now     fabric.State
			settled fabric.State
			wantErr error
		}{
			{"start", func(ctx context.Context, id string) error { return f.StartVM(ctx, vm(id, "10.0.1.5")) }, fabric.StatePending, fabric.StateRunning, nil},
			{"start again", func(ctx context.Context, id string) error { return f.StartVM(ctx, vm(id, "10.0.1.5")) }, fabric.StateRunning, fabric.StateRunning, fabric.ErrExists},
			{"reboot", f.RebootVM, fabric.StateRebooting, fabric.StateRunning, nil},
			{"stop", f.StopVM, fabric.StateStopping, fabric.StateStopped, nil},
			{"stop again", f.StopVM, fabric.StateStopped, fabric.StateStopped, nil},
			{"reboot when off", f.RebootVM, fabric.StateStopped, fabric.StateStopped, fabric.ErrState},
			{"start when off", func(ctx context.Context, id string) error { return f.StartVM(ctx, vm(id, "10.0.1.5")) }, fabric.StatePending, fabric.StateRunning, nil},
			{"delete", f.DeleteVM, fabric.StateTerminating, fabric.StateTerminated, nil},
			{"delete again", f.DeleteVM, fabric.StateTerminated, fabric.StateTerminated, nil},
			{"stop when gone", f.StopVM, fabric.StateTerminated, fabric.StateTerminated, fabric.ErrState},
		} {
			if err := step.do(t.Context(), "i-1"); !errors.Is(err, step.wantErr) {
				t.Errorf("%s: got error %v, want %v", step.name, err, step.wantErr)
			}
			if got := f.VMState("i-1"); got != step.now {
				t.Errorf("%s: got %s at once, want %s", step.name, got, step.now)
			}
			time.Sleep(3 * time.Second) // of the bubble's clock
			if got := f.VMState("i-1"); got != step.settled {
				t.Errorf("%s: got %s in the end, want %s", step.name, got, step.settled)
			}
		}
	})
}

// TestTimes: how long a start and a removal take is the cloud's, at that moment.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot := time.Minute
		f, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true, BootTime: time.Second, Times: func(cloud string) (time.Duration, time.Duration) {
			if cloud == "slow" {
				return boot, time.Hour
			}
			return 0, 0
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close(t.Context())
		addNet(t, f, "net")
		took := func(id string, do error, want fabric.State) time.Duration {
			t.Helper()
			start := time.Now()
			if err := errors.Join(do, f.WaitVM(t.Context(), id, want)); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		slow, quick := vm("slow", "10.0.1.5"), vm("quick", "10.0.1.6")
		slow.Cloud, quick.Cloud = "slow", "quick"
		for _, s := range []struct {
			name string
			got  time.Duration
			want time.Duration
		}{
			{"boot, slow", took("slow", f.StartVM(t.Context(), slow), fabric.StateRunning), time.Minute},
			{"boot, quick", took("quick", f.StartVM(t.Context(), quick), fabric.StateRunning), 0},
			{"stop, slow", took("slow", f.StopVM(t.Context(), "slow"), fabric.StateStopped), 0},
			{"removal, quick", took("quick", f.DeleteVM(t.Context(), "quick"), fabric.StateTerminated), 0},
		} {
			if s.got != s.want {
				t.Errorf("%s took %s, want %s", s.name, s.got, s.want)
			}
		}
		boot = 2 * time.Minute
		if got := took("slow", f.StartVM(t.Context(), slow), fabric.StateRunning); got != boot {
			t.Errorf("second boot took %s, want %s", got, boot)
		}
		if got := took("slow", f.DeleteVM(t.Context(), "slow"), fabric.StateTerminated); got != time.Hour {
			t.Errorf("removal took %s, want 1h", got)
		}
	})
}

func TestDeleteWhilePending(t *testing.T) {
	f := paper(t, time.Hour)
	addNet(t, f, "net")
	ctx := t.Context()
	if err := f.StartVM(ctx, vm("i-1", "10.0.1.5")); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveNetwork(ctx, "net"); !errors.Is(err, fabric.ErrInUse) {
		t.Errorf("remove network: got %v, want in use", err)
	}
	if err := f.DeleteVM(ctx, "i-1"); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitVM(ctx, "i-1", fabric.StateTerminated); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveNetwork(ctx, "net"); err != nil {
		t.Error(err)
	}
}

func TestPublicAddresses(t *testing.T) {
	f := paper(t, 0)
	ctx := t.Context()
	addNet(t, f, "a")
	addNet(t, f, "b") // the same addresses
	pub, err := f.AllocatePublic(ctx)
	if err != nil {
		t.Fatal(err)
	}
	host := netip.MustParseAddr("10.0.1.5")
	steps := []struct {
		name string
		err  error
		want error
	}{
		{"map what is not allocated", f.MapPublic(ctx, netip.MustParseAddr("198.18.9.9"), "a", host), fabric.ErrNotFound},
		{"map", f.MapPublic(ctx, pub, "a", host), nil},
		{"map again", f.MapPublic(ctx, pub, "b", host), fabric.ErrInUse},
		{"release while mapped", f.ReleasePublic(pub), fabric.ErrInUse},
		{"unmap", f.UnmapPublic(ctx, pub), nil},
		{"unmap again", f.UnmapPublic(ctx, pub), fabric.ErrNotFound},
		{"map elsewhere", f.MapPublic(ctx, pub, "b", host), nil},
		{"remove its network", f.RemoveNetwork(ctx, "b"), nil},
		{"release", f.ReleasePublic(pub), nil},
		{"release again", f.ReleasePublic(pub), fabric.ErrNotFound},
		{"snat", f.SetGateway(ctx, "a", fabric.Gateway{Attached: true, SNAT: true}), nil},
		{"unknown network", f.SetGateway(ctx, "x", fabric.Gateway{}), fabric.ErrNotFound},
	}
	for _, s := range steps {
		if !errors.Is(s.err, s.want) || s.want == nil && s.err != nil {
			t.Errorf("%s: got %v, want %v", s.name, s.err, s.want)
		}
	}
	if gw := f.GatewayIP("a"); !fabric.Internet().Contains(gw) {
		t.Errorf("gateway's address: got %s, want one of %s", gw, fabric.Internet())
	}
	if err := f.SetGateway(ctx, "a", fabric.Gateway{}); err != nil || f.GatewayIP("a").IsValid() {
		t.Errorf("detached: got %s, %v; want no address", f.GatewayIP("a"), err)
	}
}

func TestRefusesBadInput(t *testing.T) {
	f := paper(t, 0)
	addNet(t, f, "net")
	ctx := t.Context()
	edit := func(change func(*fabric.VM)) fabric.VM {
		v := vm("i-1", "10.0.1.5")
		change(&v)
		return v
	}
	for name, v := range map[string]fabric.VM{
		"no id":            edit(func(v *fabric.VM) { v.ID = "" }),
		"no such network":  edit(func(v *fabric.VM) { v.NetworkID = "x" }),
		"datasource":       edit(func(v *fabric.VM) { v.Datasource = "Floppy" }),
		"outside":          edit(func(v *fabric.VM) { v.PrivateIP = netip.MustParseAddr("10.0.2.5") }),
		"gateway":          edit(func(v *fabric.VM) { v.PrivateIP = netip.MustParseAddr("10.0.1.1") }),
		"network address":  edit(func(v *fabric.VM) { v.PrivateIP = netip.MustParseAddr("10.0.1.0") }),
		"alien subnet":     edit(func(v *fabric.VM) { v.Subnet = netip.MustParsePrefix("192.168.0.0/24") }),
		"subnet too large": edit(func(v *fabric.VM) { v.Subnet = netip.MustParsePrefix("10.0.0.0/8") }),
	} {
		if err := f.StartVM(ctx, v); err == nil {
			t.Errorf("machine with %s: accepted", name)
		}
	}
	for name, r := range map[string]fabric.Rule{
		"ports":    {Protocol: "tcp", FromPort: 5, ToPort: 4},
		"big port": {Protocol: "udp", FromPort: 5, ToPort: 65536},
		"icmp":     {Protocol: "icmp", FromPort: 256},
		"word":     {Protocol: "sctp; drop"},
		"number":   {Protocol: "256"},
	} {
		if err := f.SetFirewall(ctx, "net", netip.MustParseAddr("10.0.1.5"), []fabric.Rule{r}); err == nil {
			t.Errorf("rule with bad %s: accepted", name)
		}
	}
	for _, cidr := range []string{"fd00::/64", "10.0.0.0/31"} {
		if err := f.AddNetwork(ctx, fabric.Network{ID: "n2", CIDR: netip.MustParsePrefix(cidr)}); err == nil {
			t.Errorf("network %s: accepted", cidr)
		}
	}
	if err := f.StartVM(ctx, vm("i-1", "10.0.1.5")); err != nil {
		t.Fatal(err)
	}
	if err := f.StartVM(ctx, vm("i-2", "10.0.1.5")); !errors.Is(err, fabric.ErrInUse) {
		t.Errorf("second machine with one address: got %v, want in use", err)
	}
}
