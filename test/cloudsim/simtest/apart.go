// Package simtest is what tests of simulated clouds, and tests against them,
// share: their own ground to stand on, a fabric, and a cloud's faults and
// inventory as the suite of [cloudtest] wants them.
package simtest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// apart marks the test process that has namespaces of its own.
const apart = "CLOUDSIM_TEST_APART"

// Main is the TestMain of a package whose tests start machines: the test
// executable is PID 1 of each, too. It does not return.
func Main(m *testing.M) {
	if fabric.IsInit(os.Args) {
		os.Exit(fabric.Init())
	}
	RunApart(m)
}

// RunApart runs the tests in network and mount namespaces of their own: one
// network namespace has place for the machines of one fabric, and tests of other
// packages run meanwhile. Without root, which that needs, it runs them here. It
// does not return.
func RunApart(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(apart) != "" {
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the namespaces, and the death signal below, are this thread's
	if err := runApart(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces of their own:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runApart runs this executable again, in new namespaces.
func runApart() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNET | syscall.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), apart+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}
