package kernel_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
	"github.com/cbnet-io/cbnet/test/kernel/vm"
)

const (
	fetchTimeout = 3 * time.Minute // for the kernel's package, once
	bootTimeout  = 4 * time.Minute // seen: 10 s; beside many busy processes 96 s
	memory       = 256             // MiB of a machine
)

// names of the machines. The first lets others in.
var names = []string{"a", "b", "c"}

const (
	suiteIn = "/bin/overlay.test" // where the overlay's own tests lie in a machine
	busybox = "/bin/busybox"      // what they call; Debian's busybox-static
)

// underlay returns a machine's address outside the tunnels.
func underlay(i int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", 11+i))
}

// lab is the running machines.
type lab struct {
	t        *testing.T
	machines []*vm.VM
}

// newLab boots the machines. At the end of the test they are switched off, and
// after a failure their consoles are shown.
func newLab(t *testing.T) *lab {
	t.Helper()
	k, err := vm.FetchKernel(t.Context(), kernelCache())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel: Debian's %s", k.Package)
	initrd := filepath.Join(t.TempDir(), "initrd")
	suite := filepath.Join(t.TempDir(), "overlay.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", suite, "./overlay")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tests of overlay: %v\n%s", err, out)
	}
	if err := writeInitrd(initrd, k, suite); err != nil {
		t.Fatal(err)
	}
	bridge(t)
	l := &lab{t: t}
	t.Cleanup(l.close)
	start := time.Now()
	for i, name := range names {
		m, err := vm.Start(vm.Config{
			Name: name, Kernel: k, Initrd: initrd, Memory: memory,
			Tap: tap(t, i), MAC: fmt.Sprintf("02:00:5e:00:53:%02x", i+1), Addrs: []netip.Prefix{underlay(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
		l.machines = append(l.machines, m)
	}
	l.each(bootTimeout, func(ctx context.Context, i int, m *vm.VM) error { return m.Ready(ctx) })
	figure(t, "three machines boot at once", time.Since(start))
	return l
}

func writeInitrd(path string, k vm.Kernel, suite string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	img := vm.Image{
		Init: exe,
		Boot: []string{"virtio_pci", "virtio_net"},
		// As in a real system, the daemon makes the kernel load these.
		OnDemand: []string{"wireguard", "tun", "bridge", "veth"},
		Files:    map[string]string{"/bin/cbnetd": bin("cbnetd"), "/bin/cbctl": bin("cbctl"), suiteIn: suite, busybox: busybox},
		Links:    map[string]string{"/bin/ping": busybox, "/bin/ip": busybox, "/bin/nsenter": busybox},
	}
	if err := vm.WriteImage(w, k, img); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func bridge(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan"
	b := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(b); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(b, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(b); err != nil {
		t.Fatal(err)
	}
}

// tap makes a network card's other end and returns its name.
func tap(t *testing.T, i int) string {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("tap%d", i)
	if err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP}); err != nil {
		t.Fatalf("make %s: %v", attrs.Name, err)
	}
	link, err := netlink.LinkByName(attrs.Name)
	if err != nil {
		t.Fatal(err)
	}
	lan, err := netlink.LinkByName("lan")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMaster(link, lan); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	return attrs.Name
}

func (l *lab) close() {
	for _, m := range l.machines {
		if l.t.Failed() {
			l.t.Logf("console of %s:\n%s", m.Name, m.Console())
		}
		if err := m.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

// each does something in all machines at once.
func (l *lab) each(timeout time.Duration, do func(context.Context, int, *vm.VM) error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), timeout)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for i, m := range l.machines {
		g.Go(func() error { return do(ctx, i, m) })
	}
	if err := g.Wait(); err != nil {
		l.t.Fatal(err)
	}
}

// run runs a command in a machine; it must succeed.
func run(t *testing.T, m *vm.VM, timeout time.Duration, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	r, err := m.Run(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Stdout
}

// toolArgs is the command line of one of our tools in a machine.
func toolArgs(name string, args ...string) []string {
	return append([]string{guest.Init, tool, name}, args...)
}
