package kernel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/kernel/vm"
)

const (
	commandTimeout = 90 * time.Second // for a command in a machine; mostly under 1 s
	suiteTimeout   = 4 * time.Minute  // for the overlay's tests; seen: 45 s to 106 s
	joinTimeout    = 90 * time.Second // for all pairs after the last start; seen: 2 s to 27 s
	transferSize   = 2 << 20          // bytes
	sinkPort       = 5001
)

// TestKernel is one story, each part from the state that the one before left:
// booting is what takes long.
func TestKernel(t *testing.T) {
	if os.Getenv(wanted) == "" {
		t.Skip("boots virtual machines: run `make e2e-kernel`")
	}
	l := newLab(t)
	m := &mesh{lab: l, overlay: make([]addresses, len(names))}
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"same state as in userspace", m.sameState},
		{"overlay's own tests", m.overlayTests},
		{"mesh comes up", m.comesUp},
		{"datapath is the kernel's", m.datapath},
		{"every pair pings", m.pings},
		{"TCP through the tunnel", m.transfers},
		{"kill -9 without introducer", m.killed},
		{"SIGTERM without introducer", m.terminated},
		{"cleanup after kill -9", m.cleanedUp},
		{"introducer returns", m.introducerReturns},
	} {
		if !t.Run(step.name, step.test) {
			t.FailNow()
		}
	}
}

// addresses are those of a node in the overlay.
type addresses struct{ IP, IP6 string }

// mesh is a daemon in each machine.
type mesh struct {
	lab     *lab
	overlay []addresses // by machine
}

func (m *mesh) sameState(t *testing.T) {
	var states []state
	for _, datapath := range []string{"kernel", "userspace"} {
		var s state
		out := run(t, m.lab.machines[0], 2*commandTimeout, toolArgs("state", datapath)...)
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if s.Datapath != datapath {
			t.Fatalf("datapath %s, want %s", s.Datapath, datapath)
		}
		if s.Seen == 0 {
			t.Errorf("%s: the monitor heard nothing of the first Set", datapath)
		}
		if len(s.Changes) > 0 || len(s.Messages) > 0 {
			t.Errorf("%s: an equal Set made changes %q; the kernel said %q", datapath, s.Changes, s.Messages)
		}
		if d := cmp.Diff(s.First, s.Second); d != "" {
			t.Errorf("%s: after an equal Set (-first +second):\n%s", datapath, d)
		}
		states = append(states, s)
	}
	if d := cmp.Diff(states[0].First, states[1].First); d != "" {
		t.Errorf("the same configuration (-kernel +userspace):\n%s", d)
	}
	if n := strings.Count(states[0].First, "\n"); n != 12 {
		t.Errorf("%d lines, want 12: link, 2 addresses, 3 routes and one of an address, device, 4 peers", n)
	}
	t.Logf("state of both:\n%s", states[0].First)
}

// overlaySuite is those of the overlay's tests that need a real system. On the
// host they may find no kernel WireGuard; here they do.
var overlaySuite = []string{
	"TestConformance", "TestVanishedInterfaceIsMadeAnew", "TestInterfaceInUse", "TestCleanupAfterCrash",
	"TestKernelInterfaceIsAdopted", "TestSecondSetChangesNothing", "TestHostState", "TestRouteRefused",
	"TestHostWithoutIPv6", "TestPortTaken", "TestKernelMissing", "TestOpenWithEndedContext", "TestTunnel",
	"TestRoamingEndpointStays", "TestAllowedIPTakenAway",
}

func (m *mesh) overlayTests(t *testing.T) {
	start := time.Now()
	out := run(t, m.lab.machines[2], suiteTimeout, suiteIn, "-test.v", "-test.run", "^("+strings.Join(overlaySuite, "|")+")$")
	for _, name := range overlaySuite {
		if !strings.Contains(out, "\n--- PASS: "+name+" ") {
			t.Errorf("%s did not pass", name)
		}
	}
	if strings.Contains(out, "nothing to adopt here") {
		t.Error("the tests found no kernel WireGuard")
	}
	if t.Failed() {
		t.Log(out)
	}
	figure(t, fmt.Sprintf("%d tests of the overlay on the kernel's WireGuard", len(overlaySuite)), time.Since(start))
}

func (m *mesh) comesUp(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	local(t, "cbctl", "ca", "init", "--dir", ca, "--mesh", "lab")
	for i, name := range names {
		bundle := filepath.Join(dir, name)
		args := []string{"ca", "issue", "--dir", ca, "--node", name, "--introducer", underlay(0).Addr().String() + ":7950", "--out", bundle}
		if i == 0 {
			args = append(args, "--role", "introducer")
		}
		local(t, "cbctl", args...)
		data, err := os.ReadFile(bundle)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.lab.machines[i].WriteFile(t.Context(), "/etc/cbnet/node.bundle", data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	for i := range names {
		m.start(t, i)
	}
	for i := range names {
		s := m.status(t, i)
		m.overlay[i] = addresses{s.IP, s.IP6}
	}
	m.allPairs(t, joinTimeout)
	figure(t, "three daemons started, all pairs answer", time.Since(start))
}

// local runs a built binary on this host.
func local(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), bin(name), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

func (m *mesh) start(t *testing.T, i int) {
	t.Helper()
	args := []string{"/bin/cbnetd", "--bundle", "/etc/cbnet/node.bundle", "--state", "/var/lib/cbnet"}
	if i == 0 {
		args = append(args, "--introduce", underlay(0).Addr().String()+":7950")
	}
	if err := m.lab.machines[i].Start(t.Context(), "cbnetd", args...); err != nil {
		t.Fatal(err)
	}
}

// stop ends the daemon of a machine by a signal and returns its exit code.
func (m *mesh) stop(t *testing.T, i int, s syscall.Signal) int {
	t.Helper()
	code, err := m.lab.machines[i].Signal(t.Context(), "cbnetd", s)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// nodeStatus is what is looked at of `cbctl node status`.
type nodeStatus struct {
	IP       string `json:"ip"`
	IP6      string `json:"ip6"`
	Datapath string `json:"datapath"`
	Peers    struct {
		Up int `json:"up"`
	} `json:"peers"`
}

// status asks a daemon, until it answers with an open device.
func (m *mesh) status(t *testing.T, i int) nodeStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var s nodeStatus
		r, err := m.lab.machines[i].Run(ctx, "/bin/cbctl", "node", "status", "-o", "json")
		if err == nil {
			if err = json.Unmarshal([]byte(r.Stdout), &s); err == nil && s.Datapath != "" {
				return s
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("status of %s: %+v, %v", names[i], s, err)
		}
	}
}

// ping pings addresses from a machine until each answers, and returns the lines
// of pingTool.
func (m *mesh) ping(t *testing.T, from int, timeout time.Duration, addrs ...string) []string {
	t.Helper()
	out := run(t, m.lab.machines[from], timeout+commandTimeout, toolArgs("ping", append([]string{timeout.String()}, addrs...)...)...)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// allPairs waits until every ordered pair answers over IPv4 and IPv6.
func (m *mesh) allPairs(t *testing.T, timeout time.Duration) {
	t.Helper()
	m.lab.each(timeout+commandTimeout, func(ctx context.Context, i int, v *vm.VM) error {
		args := []string{timeout.String()}
		for j, a := range m.overlay {
			if j != i {
				args = append(args, a.IP, a.IP6)
			}
		}
		_, err := v.Run(ctx, toolArgs("ping", args...)...)
		return err
	})
}

func (m *mesh) datapath(t *testing.T) {
	for i, v := range m.lab.machines {
		if s := m.status(t, i); s.Datapath != "kernel" {
			t.Errorf("%s: datapath %q, want kernel", names[i], s.Datapath)
		}
		m.wantLink(t, i, "wireguard")
		t.Logf("%s:\n%s", names[i], run(t, v, commandTimeout, "/bin/cbctl", "node", "status"))
	}
}

// wantLink checks of what kind the tunnel's interface is.
func (m *mesh) wantLink(t *testing.T, i int, want string) {
	t.Helper()
	if got := run(t, m.lab.machines[i], commandTimeout, toolArgs("link", iface)...); got != want {
		t.Errorf("%s: interface %s is %s, want %s", names[i], iface, got, want)
	}
}

func (m *mesh) pings(t *testing.T) {
	for i := range names {
		for j, to := range m.overlay {
			if i == j {
				continue
			}
			for k, line := range m.ping(t, i, commandTimeout, to.IP, to.IP6) {
				family := []string{"IPv4", "IPv6"}[k]
				figure(t, fmt.Sprintf("ping %s -> %s over %s, requests and ms", names[i], names[j], family), line)
			}
		}
	}
}

func (m *mesh) transfers(t *testing.T) {
	for _, v := range m.lab.machines {
		if err := v.Start(t.Context(), "sink", toolArgs("sink", fmt.Sprintf(":%d", sinkPort))...); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	for _, v := range m.lab.machines {
		if _, err := v.AwaitConsole(ctx, sinkWord); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		from, to int
		addr     string
	}{
		{"outside the tunnel", 1, 2, underlay(2).Addr().String()},
		{"over IPv4", 1, 2, m.overlay[2].IP},
		{"over IPv6", 1, 2, "[" + m.overlay[2].IP6 + "]"},
		{"back over IPv4", 2, 1, m.overlay[1].IP},
		{"back over IPv6", 2, 1, "[" + m.overlay[1].IP6 + "]"},
	} {
		out := run(t, m.lab.machines[c.from], sendTimeout+commandTimeout,
			toolArgs("send", fmt.Sprintf("%s:%d", c.addr, sinkPort), fmt.Sprint(transferSize))...)
		figure(t, fmt.Sprintf("%d MiB of TCP %s -> %s %s, checksums equal", transferSize>>20, names[c.from], names[c.to], c.name), out)
	}
}
