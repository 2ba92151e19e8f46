// Package kernel_test runs a mesh on the kernel's WireGuard: three virtual
// machines with Debian's kernel under emulation, the built cbnetd in each.
//
//	     network namespace of the test
//	┌───────────────────────────────────────┐
//	│ bridge 192.0.2.1/24                   │
//	│  ├ tap ── machine a 192.0.2.11 (lets others in)
//	│  ├ tap ── machine b 192.0.2.12        │
//	│  └ tap ── machine c 192.0.2.13        │
//	└───────────────────────────────────────┘
//
// The test program itself is the machines' first process, and the tools that
// the test runs in them. Run it with `make e2e-kernel`.
package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
	"github.com/cbnet-io/cbnet/test/kernel/vm"
)

const (
	// wanted has to be set in the environment: the machines take minutes.
	wanted = "CBNET_E2E_KERNEL"

	// inside marks the process that is in namespaces of its own.
	inside = "CBNET_E2E_KERNEL_INSIDE"
)

func TestMain(m *testing.M) {
	switch {
	case guest.IsInit():
		ended(guest.Main())
	case guest.IsModprobe():
		ended(guest.LoadModule(os.Args[len(os.Args)-1]))
	case len(os.Args) > 2 && os.Args[1] == tool:
		ended(runTool(os.Args[2], os.Args[3:]))
	case os.Getenv(wanted) != "" && os.Getenv(inside) == "":
		ended(isolated())
	case os.Getenv(inside) != "":
		if err := prepare(); err != nil {
			ended(err)
		}
	}
	os.Exit(m.Run())
}

// ended ends the process.
func ended(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
	os.Exit(0)
}

// isolated runs this program again in namespaces of its own. With that process,
// the first of its PID namespace, all machines end, whatever ends it.
func isolated() error {
	if os.Geteuid() != 0 {
		return errors.New("needs root for network namespaces and TAP devices")
	}
	for _, name := range []string{"qemu-system-x86_64", "apt-get", "dpkg-deb", busybox} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: `make e2e-kernel` installs what is needed", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	if _, err := vm.FetchKernel(ctx, kernelCache()); err != nil { // inside there is no internet
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd.Run()
}

// prepare makes the new namespaces usable.
func prepare() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// root is the module's directory.
var root = func() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return filepath.Join("..", "..")
	}
	return dir
}()

// kernelCache is where kernels are kept. Remove it to get a newer one.
func kernelCache() string { return filepath.Join(root, ".tools", "kernel") }

// bin returns the path of a built binary.
func bin(name string) string { return filepath.Join(root, "bin", name) }

// figure prints what was measured. Under emulation it tells of no real machine.
func figure(t *testing.T, what string, value any) {
	t.Helper()
	if d, ok := value.(time.Duration); ok {
		value = d.Round(10 * time.Millisecond)
	}
	t.Logf("FIGURE emulated (TCG): %s: %v", what, value)
}
