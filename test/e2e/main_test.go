// Package e2e_test runs the whole system from the built binaries: simulated
// clouds, control plane, daemons and command line, in network and mount
// namespaces of its own, so that nothing touches the host.
package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
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
	flag.Parse()
	if err := outside(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// atOnce is how many tests run at the same time: they mostly wait for machines
// to boot.
const atOnce = 3

// outside runs each wanted test in a process and namespaces of its own.
func outside() error {
	pattern := flag.Lookup("test.run").Value.String()
	if pattern == "" {
		pattern = "^Test"
	}
	list, err := child("-test.list=" + pattern)
	if err != nil || flag.Lookup("test.list").Value.String() != "" {
		fmt.Printf("%s", list)
		return err
	}
	var (
		mu   sync.Mutex // one test's output at a time
		errs []error    // guarded by mu
		wg   sync.WaitGroup
		free = make(chan struct{}, atOnce)
	)
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSpace(name)
		if !strings.HasPrefix(name, "Test") {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			start := time.Now()
			run := "^" + name + "$"
			if _, sub, ok := strings.Cut(pattern, "/"); ok {
				run += "/" + sub
			}
			out, err := child("-test.run=" + run)
			mu.Lock()
			defer mu.Unlock()
			fmt.Printf("%s%s took %s\n", out, name, time.Since(start).Round(time.Second))
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// child runs this program again, in namespaces of its own, with one more flag.
func child(last string) ([]byte, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"--net", "--mount", "--", "sh", "-c", enter, exe}
	for _, a := range os.Args[1:] {
		if !strings.HasPrefix(a, "-test.testlogfile=") { // there is one writer
			args = append(args, a)
		}
	}
	cmd := exec.Command("unshare", append(args, last)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	return cmd.CombinedOutput()
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
