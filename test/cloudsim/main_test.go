package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// asProgram makes the test binary be cloudsim.
const asProgram = "CLOUDSIM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if fabric.IsInit(os.Args) || os.Getenv(asProgram) != "" {
		main()
	}
	simtest.RunApart(m)
}

// program is a running cloudsim.
type program struct {
	cmd    *exec.Cmd
	urls   map[string]string
	stderr bytes.Buffer
}

// start starts cloudsim in the calling thread's network namespace and waits for
// its ready line.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(t.Context(), "/proc/self/exe", append([]string{"--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.urls)
	}
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("ready line %q: %v\n%s", line, err, &p.stderr)
	}
	return p
}

// end sends a signal and returns the exit status.
func (p *program) end(t *testing.T, s syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // the status says it
	return p.cmd.ProcessState.ExitCode()
}

// request calls the admin API.
func (p *program) request(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.urls["admin"]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestAdminAPI(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "--state", dir, "--no-machines")
	if got := slices.Sorted(maps.Keys(p.urls)); !slices.Equal(got, append([]string{"admin"}, cloudNames...)) {
		t.Errorf("URLs of %v, want those of admin and %v", got, cloudNames)
	}
	for _, name := range cloudNames {
		if !strings.HasPrefix(p.urls[name], "http://127.0.0.1:") {
			t.Errorf("URL of %s: got %q", name, p.urls[name])
		}
		if data, err := os.ReadFile(filepath.Join(dir, "credentials", name)); err != nil || len(data) == 0 {
			t.Errorf("credentials of %s: %d bytes, %v", name, len(data), err)
		}
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/inventory", "", 200, "[]\n"},
		{"PUT", "/faults", `{"throttle": 0.5, "latency": "1ms", "dropNext": {"RunInstances": 1}}`, 200, `"latency":"1ms"`},
		{"GET", "/faults", "", 200, `"throttle":0.5`},
		{"PUT", "/faults", `{"throttle": 2, "asyncFail": -1}`, 400, `throttle: 2: want 0 to 1\nasyncFail: -1`},
		{"PUT", "/faults", `{"trottle": 0.2}`, 400, `unknown field`},
		{"PUT", "/faults", `{"bootTime": {"gpc": "5s"}}`, 400, `bootTime.gpc: no cloud \"gpc\": want one of alibaba, aws, azure, gcp, openstack`},
		{"GET", "/faults", "", 200, `"throttle":0.5`},
		{"GET", "/vms/i-none/console", "", 404, "not found"},
		{"GET", "/nothing", "", 404, ""},
	} {
		status, body := p.request(t, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: got %d %s, want %d with %s", c.method, c.path, c.body, status, body, c.status, c.want)
		}
	}
	if code := p.end(t, syscall.SIGTERM); code != exitDone {
		t.Errorf("SIGTERM: exit status %d, want %d\n%s", code, exitDone, &p.stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"all faults at once", []string{"--boot-time", "-1s", "--listen", "here", "--faults", "/nonexistent/f"}, exitUsage, []string{"--boot-time", "--listen", "--state", "--faults"}},
		{"unknown flag", []string{"--stat", "x"}, exitUsage, []string{"-stat"}},
		{"argument", []string{"--state", "x", "y"}, exitUsage, []string{`"y"`}},
		{"version", []string{"--version"}, exitDone, []string{"cloudsim"}},
		{"port taken or foreign", []string{"--state", t.TempDir(), "--no-machines", "--listen", "192.0.2.1:1"}, exitFailed, []string{"listen"}},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), c.args, &out, &errs)
		if code != c.code {
			t.Errorf("%s: got exit status %d, want %d", c.name, code, c.code)
		}
		for _, w := range c.want {
			if !strings.Contains(out.String()+errs.String(), w) {
				t.Errorf("%s: %q not in %s", c.name, w, errs.String())
			}
		}
	}
}

// TestKilled kills a cloudsim that has machines and checks that the next start,
// even with another state directory, leaves nothing behind at its end.
func TestKilled(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("machines need root")
		}
		t.Skip("machines need root")
	}
	before := traces(t)
	dir := t.TempDir()
	first := start(t, "--state", dir, "--boot-time", "0s")
	launch(t, first, dir)
	if code, out := second(t); code != exitFailed || !strings.Contains(out, fmt.Sprint(first.cmd.Process.Pid)) {
		t.Errorf("second start: exit status %d, want %d and the first one's pid %d:\n%s", code, exitFailed, first.cmd.Process.Pid, out)
	}
	inits := guests(t, first.cmd.Process.Pid)
	if len(inits) != 1 {
		t.Fatalf("%d machines run, want 1", len(inits))
	}
	first.end(t, syscall.SIGKILL)
	gone := time.After(10 * time.Second)
	for alive(inits[0]) { // of itself: nothing else runs that could end it
		select {
		case <-time.After(20 * time.Millisecond):
		case <-gone:
			t.Fatal("the machine outlives cloudsim")
		}
	}
	if d := cmp.Diff(before, traces(t)); d == "" {
		t.Fatal("nothing is left of a killed cloudsim: this test sees nothing")
	}
	other := t.TempDir()
	next := start(t, "--state", other, "--boot-time", "0s")
	launch(t, next, other) // the names are free again
	if code := next.end(t, syscall.SIGTERM); code != exitDone {
		t.Errorf("SIGTERM: exit status %d\n%s", code, &next.stderr)
	}
	if d := cmp.Diff(before, traces(t)); d != "" {
		t.Errorf("left behind (-before +after):\n%s", d)
	}
}

// second tries to start another cloudsim beside the first.
func second(t *testing.T) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "--listen", "127.0.0.1:0", "--state", t.TempDir())
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, _ := cmd.CombinedOutput() // the status says it
	return cmd.ProcessState.ExitCode(), string(out)
}

// traces lists what a cloudsim could leave: links of this namespace, names of
// namespaces, mounts and locks.
func traces(t *testing.T) []string {
	t.Helper()
	links, err := exec.CommandContext(t.Context(), "ip", "-br", "link").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(links)) {
		all = append(all, "link "+strings.Fields(line)[0])
	}
	var id syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/net", &id); err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("csim-%s-*", base36(id.Ino))
	for _, pattern := range []string{"/run/netns/" + own, "/run/cloudsim/" + base36(id.Ino) + "*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, names...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, base36(id.Ino)) {
			all = append(all, "mount "+strings.Fields(line)[4])
		}
	}
	slices.Sort(all)
	return all
}

func base36(n uint64) string {
	var b []byte
	for ; n > 0; n /= 36 {
		b = append(b, "0123456789abcdefghijklmnopqrstuvwxyz"[n%36])
	}
	slices.Reverse(b)
	return string(b)
}

// guests lists the children of a process that are PID 1 of a machine.
func guests(t *testing.T, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, s := range stats {
		data, err := os.ReadFile(s)
		if err != nil {
			continue // gone meanwhile
		}
		var pid, ppid int
		var name, state string
		if _, err := fmt.Sscanf(string(data), "%d %s %s %d", &pid, &name, &state, &ppid); err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(data), ") Z ")
}

// launch starts a server on the simulated OpenStack and waits until its script
// has run.
func launch(t *testing.T, p *program, state string) {
	t.Helper()
	id := createServer(t, p, state, "#!/bin/sh\necho \"script of $(hostname)\" > /dev/console\n")
	deadline := time.After(90 * time.Second)
	for {
		_, console := p.request(t, "GET", "/vms/"+id+"/console", "")
		if strings.Contains(console, "script of vm") {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatalf("the script did not run: %s\n%s", console, &p.stderr)
		}
	}
	_, body := p.request(t, "GET", "/inventory", "")
	var objects []sim.Object
	if err := json.Unmarshal([]byte(body), &objects); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(objects, func(o sim.Object) bool { return o.ID == id })
	if i < 0 || objects[i].Kind != "vm" || objects[i].NetNS == "" {
		t.Fatalf("server %s with its namespace is not in the inventory: %s", id, body)
	}
	if _, err := os.Stat("/run/netns/" + objects[i].NetNS); err != nil {
		t.Error(err)
	}
}
