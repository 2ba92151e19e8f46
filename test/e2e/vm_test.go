package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ping sends one packet from a network namespace.
func ping(netns, addr string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", netns, "ping", "-n", "-c", "1", "-W", "1", addr).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ping %s: %w: %s", addr, err, out)
	}
	return nil
}

// pids lists the processes in a network namespace, by name.
func pids(t *testing.T, netns, name string) (found []int) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "pids", netns).Output()
	if err != nil {
		t.Fatalf("ip netns pids %s: %v", netns, err)
	}
	for _, f := range strings.Fields(string(out)) {
		exe, err := os.Readlink(filepath.Join("/proc", f, "exe"))
		if err != nil || filepath.Base(exe) != name {
			continue
		}
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, pid)
	}
	return found
}

// daemon returns the process id of the one cbnetd in a VM, waiting for it.
func daemon(t *testing.T, netns string, not int) (pid int) {
	t.Helper()
	eventually(t, 20*time.Second, "cbnetd running in "+netns, func() error {
		for _, p := range pids(t, netns, "cbnetd") {
			if p != not {
				pid = p
				return nil
			}
		}
		return errors.New("no process")
	})
	return pid
}

// inVM runs a command inside all namespaces of a VM.
func inVM(t *testing.T, pid int, cmd ...string) {
	t.Helper()
	args := append([]string{"-t", strconv.Itoa(pid), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--"}, cmd...)
	if out, err := exec.Command("nsenter", args...).CombinedOutput(); err != nil {
		t.Fatalf("in VM: %v: %v: %s", cmd, err, out)
	}
}

// restartDaemon stops the daemon of a VM by its init script (SIGTERM) or kills
// it, lets it start again, and returns how long after the start all others
// reach it.
func restartDaemon(t *testing.T, netns, addr string, others []string, how syscall.Signal) time.Duration {
	t.Helper()
	old := daemon(t, netns, 0)
	if how == syscall.SIGTERM {
		init := vmInit(t, netns)
		inVM(t, init, "/etc/init.d/cbnetd-cbn0", "stop")
		inVM(t, init, "/etc/init.d/cbnetd-cbn0", "start")
	} else if err := syscall.Kill(old, how); err != nil {
		t.Fatal(err)
	}
	daemon(t, netns, old)
	start := time.Now()
	for _, o := range others {
		eventually(t, 30*time.Second, addr+" reachable from "+o, func() error { return ping(o, addr) })
	}
	return time.Since(start)
}

// vmInit returns the process in a VM that is process 1 there.
func vmInit(t *testing.T, netns string) int {
	t.Helper()
	out, err := exec.Command("ip", "netns", "pids", netns).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		b, err := os.ReadFile(filepath.Join("/proc", f, "status"))
		if err != nil {
			continue // ended meanwhile
		}
		for line := range strings.Lines(string(b)) {
			v := strings.Fields(line)
			if len(v) > 2 && v[0] == "NSpid:" && v[len(v)-1] == "1" {
				pid, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				return pid
			}
		}
	}
	t.Fatalf("no process 1 in %s", netns)
	return 0
}

// stream is a running ping at 100 packets a second.
type stream struct {
	cmd *exec.Cmd
	out *syncBuffer
}

func startStream(t *testing.T, netns, addr string) *stream {
	t.Helper()
	s := &stream{out: &syncBuffer{}}
	s.cmd = exec.Command("ip", "netns", "exec", netns, "ping", "-n", "-i", "0.01", addr)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			if err := errors.Join(s.cmd.Process.Kill(), s.cmd.Wait()); err != nil {
				t.Log(err)
			}
		}
	})
	return s
}

// count returns how many answers came.
func (s *stream) count() int { return strings.Count(s.out.String(), "bytes from") }

// sent waits until n answers came.
func (s *stream) sent(t *testing.T, n int) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%d answers", n), func() error {
		if c := s.count(); c < n {
			return fmt.Errorf("%d so far", c)
		}
		return nil
	})
}

// finish ends the stream; nothing may have been lost.
func (s *stream) finish(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("ping: %v", err)
	}
	var sent, received int
	for line := range strings.Lines(s.out.String()) {
		if strings.Contains(line, "packets transmitted") {
			if _, err := fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &received); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
	}
	t.Logf("stream: %d sent, %d received", sent, received)
	// The last one may be on its way when the stream is stopped.
	if sent == 0 || sent-received > 1 {
		t.Errorf("lost %d of %d packets", sent-received, sent)
	}
}
