package kernel_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killed: with the only introducer down, a daemon is killed. The kernel goes on
// without it, and the next one adopts the interface: no packet is lost.
func (m *mesh) killed(t *testing.T) {
	b, c := m.lab.machines[1], m.lab.machines[2]
	m.stop(t, 0, syscall.SIGTERM)
	if err := c.Start(t.Context(), "loss", toolArgs("loss", m.overlay[1].IP)...); err != nil {
		t.Fatal(err)
	}
	m.stop(t, 1, syscall.SIGKILL)
	m.wantLink(t, 1, "wireguard")
	m.between(t, commandTimeout)
	t.Log("without its daemon, machine b still answers and asks through the tunnel")
	start := time.Now()
	m.start(t, 1)
	m.between(t, joinTimeout)
	m.upWith(t, 1, 1)
	figure(t, "restart after kill -9, both directions answer and the peer is up", time.Since(start))
	if want := `msg="interface adopted"`; !strings.Contains(b.Console(), want) {
		t.Errorf("the new daemon did not log %s", want)
	}
	if code, err := c.Signal(t.Context(), "loss", syscall.SIGTERM); err != nil || code != 0 {
		t.Errorf("pings through the tunnel meanwhile: exit code %d, %v", code, err)
	}
	// What was counted is the console's last word, with a little delay.
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	line, err := c.AwaitConsole(ctx, lossWord)
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "pings c -> b during kill -9 and restart", line)
}

// between waits until machines b and c reach each other, both ways and families.
func (m *mesh) between(t *testing.T, timeout time.Duration) {
	t.Helper()
	m.ping(t, 2, timeout, m.overlay[1].IP, m.overlay[1].IP6)
	m.ping(t, 1, timeout, m.overlay[2].IP, m.overlay[2].IP6)
}

// upWith waits until a daemon calls at least so many peers up.
func (m *mesh) upWith(t *testing.T, i, peers int) {
	t.Helper()
	deadline := time.Now().Add(joinTimeout)
	for m.status(t, i).Peers.Up < peers {
		if time.Now().After(deadline) {
			t.Fatalf("%s calls %d peers up, want %d", names[i], m.status(t, i).Peers.Up, peers)
		}
	}
}

// terminated: after SIGTERM nothing is left, and yet the node comes back by what
// it remembers.
func (m *mesh) terminated(t *testing.T) {
	if code := m.stop(t, 1, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	m.wantLink(t, 1, "none")
	start := time.Now()
	m.start(t, 1)
	m.between(t, joinTimeout)
	figure(t, "restart after SIGTERM, both directions answer", time.Since(start))
	m.wantLink(t, 1, "wireguard")
}

// cleanedUp: --cleanup leaves a running daemon alone, and removes what kill -9
// left; then the daemon starts anew.
func (m *mesh) cleanedUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	r, err := m.lab.machines[1].Run(ctx, "/bin/cbnetd", "--cleanup")
	if err == nil || r.Exit != 1 || !strings.Contains(r.Stderr, "stop the daemon first") {
		t.Errorf("--cleanup beside the daemon: %v, exit code %d; want a refusal", err, r.Exit)
	}
	m.stop(t, 1, syscall.SIGKILL)
	m.wantLink(t, 1, "wireguard")
	run(t, m.lab.machines[1], commandTimeout, "/bin/cbnetd", "--cleanup")
	m.wantLink(t, 1, "none")
	start := time.Now()
	m.start(t, 1)
	m.between(t, joinTimeout)
	figure(t, "restart after kill -9 and --cleanup, both directions answer", time.Since(start))
}

func (m *mesh) introducerReturns(t *testing.T) {
	start := time.Now()
	m.start(t, 0)
	m.allPairs(t, joinTimeout)
	figure(t, "introducer started again, all pairs answer", time.Since(start))
	for i := range names {
		if code := m.stop(t, i, syscall.SIGTERM); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM, want 0", names[i], code)
		}
		m.wantLink(t, i, "none")
	}
}
