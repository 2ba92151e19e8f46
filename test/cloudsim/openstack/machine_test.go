package openstack_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// ownNetns marks a test process that has a network namespace of its own.
const ownNetns = "CLOUDSIM_TEST_NETNS"

// TestMain is PID 1 of machines too: they are started from this executable.
func TestMain(m *testing.M) {
	if fabric.IsInit(os.Args) {
		os.Exit(fabric.Init())
	}
	os.Exit(m.Run())
}

// inNetns runs the calling test again in a network namespace of its own, since
// there is one fabric with machines in each; it returns true in there.
func inNetns(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetns) != "" {
		if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("machines need root")
		}
		t.Skip("machines need root")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), ownNetns+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in a network namespace of its own: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

// TestBoot boots two servers, one of them without a public address: the real
// cloud-init runs their user data, both reach the outside through the router,
// and the floating IP leads to the other as far as its security group lets it.
func TestBoot(t *testing.T) {
	if !inNetns(t) {
		return
	}
	f, err := fabric.Open(t.Context(), fabric.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	l := newLabOn(t, f)
	ctx := t.Context()
	g := must[*groups.SecGroup](t)(groups.Create(ctx, l.network, groups.CreateOpts{Name: "g"}).Extract())
	boot := func(ip string) (server, port string) {
		t.Helper()
		p := must[*ports.Port](t)(ports.Create(ctx, l.network, ports.CreateOpts{
			NetworkID: l.lan, FixedIPs: []ports.IP{{IPAddress: ip}}, SecurityGroups: &[]string{g.ID},
		}).Extract())
		o := order(p.ID)
		o.UserData = []byte("#!/bin/sh\nping -c1 -W2 198.18.0.1 && out=reaches\necho \"$(hostname) in $(cat /run/cloud-init/cloud-id) $out out\" > /dev/console\n")
		return l.start(t, o).ID, p.ID
	}
	public, port := boot("10.0.1.10")
	private, _ := boot("10.0.1.11")
	address := must[*floatingips.FloatingIP](t)(floatingips.Create(ctx, l.network, floatingips.CreateOpts{FloatingNetworkID: l.public, PortID: port}).Extract()).FloatingIP
	for _, id := range []string{public, private} {
		within(t, 90*time.Second, func() (bool, string) {
			text, err := servers.ShowConsoleOutput(ctx, l.compute, id, servers.ShowConsoleOutputOpts{Length: 200}).Extract()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(text, "web-0 in openstack reaches out"), text
		})
	}
	pings := func() bool { return exec.CommandContext(ctx, "ping", "-c1", "-W1", address).Run() == nil }
	if pings() {
		t.Errorf("%s answers without a rule", address)
	}
	must[*rules.SecGroupRule](t)(rules.Create(ctx, l.network, rules.CreateOpts{
		SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolICMP,
	}).Extract())
	if !pings() {
		t.Errorf("%s does not answer although a rule lets it", address)
	}
	for _, id := range []string{public, private} {
		if err := servers.Delete(ctx, l.compute, id).ExtractErr(); err != nil {
			t.Fatal(err)
		}
		l.reaches(t, id, "gone")
	}
}

// within polls cond for longer than until does, and says what it saw last.
func within(t *testing.T, d time.Duration, cond func() (bool, string)) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, last := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", d, last)
		}
	}
}
