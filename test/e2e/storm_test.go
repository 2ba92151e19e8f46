package e2e_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestStorm: all four nodes of two clouds, one of them behind a NAT, start
// again at one moment while the introducer is down, and find each other from
// what they remember.
func TestStorm(t *testing.T) {
	s := newSystem(t)
	s.mustCtl(t, "mcis", "apply", "-f", "examples/hybrid.yaml", "--yes")
	st := s.status(t, "shop")
	s.server.kill(t)
	ns := s.vms(t)
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		restartAll(t, ns, how)
		// Usually a tenth of a second, two if a handshake has to be made again.
		took := eventually(t, 5*time.Second, "all pairs after "+how.String(), func() error {
			return pingAll(ns, st)
		})
		t.Logf("4 nodes after %s at once, no introducer: all pairs %s after the last start", how, took.Round(10*time.Millisecond))
	}
}

// restartAll ends the daemons of all VMs at once, by kill or by their init
// scripts, and waits until the last one is started again.
func restartAll(t *testing.T, netns map[string]string, how syscall.Signal) {
	t.Helper()
	old := map[string]int{}
	for _, ns := range netns {
		old[ns] = daemon(t, ns, 0)
	}
	if how == syscall.SIGKILL {
		for _, pid := range old {
			if err := syscall.Kill(pid, how); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		for _, verb := range []string{"stop", "start"} {
			for _, ns := range netns {
				inVM(t, vmInit(t, ns), "/etc/init.d/cbnetd-cbn0", verb)
			}
		}
	}
	for ns, pid := range old {
		daemon(t, ns, pid)
	}
}

// pingAll pings every node from every other one, all at the same time.
func pingAll(netns map[string]string, st status) error {
	results := make(chan error)
	n := 0
	for _, from := range st.Nodes {
		for _, to := range st.Nodes {
			if from.Name == to.Name {
				continue
			}
			n++
			go func() {
				err := ping(netns[from.Name], to.IP)
				if err != nil {
					err = fmt.Errorf("%s to %s: %w", from.Name, to.Name, err)
				}
				results <- err
			}()
		}
	}
	var errs []error
	for range n {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}
