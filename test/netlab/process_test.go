package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// eventually waits until f says nil.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-tick.C
	}
}

func shell(t *testing.T, h *netlab.Host, script string) string {
	t.Helper()
	out, err := h.Command(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestHostsAreApart: network, /run and PIDs are the host's, other files the test's.
func TestHostsAreApart(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	s := lab.Site("s", netlab.SiteOptions{IPv6: true})
	a, b := s.Host("a"), s.Host("b")
	file, mark := filepath.Join(t.TempDir(), "file"), fmt.Sprintf("/run/only-a-%d", os.Getpid())
	shell(t, a, "echo x > /var"+mark+" && echo y > "+file)
	if got := shell(t, b, "ls /run; cat "+file); got != "y" {
		t.Errorf("b has in /run and the shared file: %q, want nothing and y", got)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the test has what host a has in /run")
	}
	if err := a.Do(func() error { _, err := os.Stat(mark); return err }); err != nil {
		t.Errorf("Go code at a host: %v", err)
	}
	if got := shell(t, a, "ls /sys/class/net; pwd"); got != "eth0\nlo\n"+cwd(t) {
		t.Errorf("interfaces and working directory of a: %q", got)
	}
	if got := shell(t, a, `test "$(sh -c 'echo $$; :')" -lt 100 && cat /proc/$$/comm && ls -d /proc/[0-9]* | wc -l`); !strings.HasPrefix(got, "sh\n") || len(got) > len("sh\n99") {
		t.Errorf("processes at a: %q, want few and their own PIDs", got)
	}
	if got := shell(t, a, "ip -o addr show dev eth0"); !strings.Contains(got, a.Addr().String()+"/24") || !strings.Contains(got, a.Addr6().String()+"/64") {
		t.Errorf("addresses of a: %s", got)
	}
	out, err := exec.Command("nsenter", "--net="+b.NetNS(), "ip", "-o", "addr").CombinedOutput()
	if err != nil || !strings.Contains(string(out), b.Addr().String()) {
		t.Errorf("from outside: %v: %s", err, out)
	}
}

func cwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCommand(t *testing.T) {
	t.Parallel()
	h := netlab.New(t, netlab.Options{}).Site("s", netlab.SiteOptions{}).Host("h")
	out, err := h.Command(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 3").Output()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 3 || string(exit.Stderr) != "err\n" || string(out) != "out\n" {
		t.Errorf("got %q and %v, want out, err and 3", out, err)
	}
	if err := h.Command(t.Context(), "/no/such/program").Run(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	if err := h.Command(t.Context()).Run(); err == nil {
		t.Error("a command without a program ran")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := h.Command(ctx, "sleep", "1000").Run(); err == nil {
		t.Error("a command ran on after its context")
	}
	cmd := h.Command(t.Context(), "cat")
	cmd.Dir, cmd.Stdin = "/", strings.NewReader("in")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "in" {
		t.Errorf("cat: %q, %v", out, err)
	}
	orphan := shell(t, h, "sleep 0.01 >/dev/null 2>&1 & echo $!")
	eventually(t, "an orphan is no zombie", func() error {
		return h.Command(t.Context(), "test", "!", "-e", "/proc/"+orphan).Run()
	})
}

func TestProcess(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, netlab.Options{})
	h := lab.Site("s", netlab.SiteOptions{}).Host("h")
	const daemon = `trap 'echo bye; exit 0' TERM; echo "I am $$"; while :; do sleep 1000 & wait; done`
	p := h.Start("d", "sh", "-c", daemon)
	eventually(t, "log", func() error {
		if want := fmt.Sprintf("I am %d\n", p.PIDAtHost()); p.Log() != want {
			return fmt.Errorf("%q, want %q", p.Log(), want)
		}
		return nil
	})
	if err := p.Stop(); err != nil || !strings.HasSuffix(p.Log(), "bye\n") {
		t.Errorf("stopped with %v and log %q, want none and bye", err, p.Log())
	}
	if p.PIDAtHost() != 0 {
		t.Error("a process that ended has a PID")
	}
	p = h.Start("d", "sh", "-c", daemon)
	p.Kill()
	if exit, ok := errors.AsType[*exec.ExitError](p.Err()); !ok || exit.ExitCode() != -1 {
		t.Errorf("killed: %v", p.Err())
	}
	if !strings.Contains(p.Log(), "bye\n") {
		t.Error("the log lost what the first process wrote")
	}
	if err := p.Stop(); err == nil {
		t.Error("stopping a killed process does not tell how it ended")
	}
	if _, err := h.TryStart("none", "/no/such/program"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
}

// fds are the open files of this process.
func fds(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// surroundings are what a lab must leave as it was: links and mounts.
func surroundings(t *testing.T) string {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintln(&b, l.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	b.Write(mounts)
	return b.String()
}

// TestNothingIsLeft: a lab that ended leaves no descriptor, link, mount, nor
// process, not even one that its parent forgot.
func TestNothingIsLeft(t *testing.T) {
	round := func() {
		t.Run("lab", func(t *testing.T) {
			lab := netlab.New(t, netlab.Options{})
			a := lab.Site("a", netlab.SiteOptions{NAT: netlab.NATHard}).Host("a")
			b := lab.Site("b", netlab.SiteOptions{}).Host("b")
			lab.Internet.Link(a.Site(), b.Site(), netlab.Link{Delay: time.Hour}) // packets stay on the way
			reach(t, a, b.Addr(), false)
			a.Start("forgotten", "sh", "-c", orphanScript)
			if surroundings(t) == "" {
				t.Error("no surroundings")
			}
		})
	}
	round() // what Go itself opens once
	open, around := fds(t), surroundings(t)
	round()
	if got := fds(t); got != open {
		t.Errorf("%d descriptors, %d before", got, open)
	}
	if got := surroundings(t); got != around {
		t.Errorf("links and mounts are\n%s\nand were\n%s", got, around)
	}
	if n := len(orphans(t)); n > 0 {
		t.Errorf("%d processes are left", n)
	}
}

// orphanEnv marks the process that is killed in the midst of a test.
const orphanEnv = "CBNET_NETLAB_ORPHAN"

// marker is in the command lines of the processes below, and of no other.
var marker = fmt.Sprintf("netlab-orphan-%d", os.Getpid())

var orphanScript = "setsid sh -c 'sleep 1000; : " + markerOf() + "' & sleep 1000; : " + markerOf()

func markerOf() string {
	if m := os.Getenv(orphanEnv); m != "" {
		return m
	}
	return marker
}

// orphans are the processes with the marker.
func orphans(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), marker) {
			list = append(list, p)
		}
	}
	return list
}

// TestOrphan is what TestKilled kills.
func TestOrphan(t *testing.T) {
	if os.Getenv(orphanEnv) == "" {
		t.Skip("runs inside TestKilled")
	}
	lab := netlab.New(t, netlab.Options{})
	h := lab.Site("s", netlab.SiteOptions{}).Host("h")
	h.Start("d", "sh", "-c", orphanScript)
	fmt.Printf("netns %s\n", shell(t, h, "readlink /proc/self/ns/net"))
	<-t.Context().Done()
}

// TestKilled: after kill -9 of a test nothing of its lab is left.
func TestKilled(t *testing.T) {
	netlab.New(t, netlab.Options{}) // or skip
	around := surroundings(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOrphan$", "-test.v")
	cmd.Env = append(os.Environ(), orphanEnv+"="+marker, "TMPDIR="+t.TempDir()) // it does not clean up
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	var text strings.Builder
	buf := make([]byte, 1000)
	for !strings.Contains(text.String(), "netns net:") {
		n, err := out.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			t.Fatalf("the lab did not start: %v: %s", err, text.String())
		}
	}
	eventually(t, "its processes", func() error {
		if n := len(orphans(t)); n != 2 { // the daemon, and what it put into a session of its own
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a killed test says that all is well")
	}
	_, netns, _ := strings.Cut(text.String(), "netns ")
	eventually(t, "after kill -9", func() error {
		if list := orphans(t); len(list) > 0 {
			return fmt.Errorf("%d processes are left", len(list))
		}
		return noProcessIn(t, strings.Fields(netns)[0])
	})
	if got := surroundings(t); got != around {
		t.Errorf("links and mounts are\n%s\nand were\n%s", got, around)
	}
}

// noProcessIn says which process is in a network namespace.
func noProcessIn(t *testing.T, netns string) error {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if got, err := os.Readlink(p); err == nil && got == netns {
			return fmt.Errorf("%s is %s", p, netns)
		}
	}
	return nil
}
