// Package e2e_test runs the whole system from the built binaries: simulated
// clouds, control plane, daemons and command line, in network and mount
// namespaces of its own, so that nothing touches the host.
package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inside marks the process that runs in its own namespaces.
const inside = "CBNET_E2E_INSIDE"

// enter is what the namespaces begin with: a /run of their own (network
// namespaces, sockets and locks live there) and a loopback interface.
const enter = `mount -t tmpfs tmpfs /run && ip link set lo up && exec "$0" "$@"`

func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			fmt.Fprintln(os.Stderr, "e2e: needs root for network namespaces")
			os.Exit(1)
		}
		fmt.Println("e2e: skipped: needs root for network namespaces")
		return
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	cmd := exec.Command("unshare", append([]string{"--net", "--mount", "--", "sh", "-c", enter, exe}, os.Args[1:]...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// root is the module's directory.
var root = func() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "../.."
	}
	return dir
}()

// bin returns the path of a built binary.
func bin(name string) string { return filepath.Join(root, "bin", name) }
