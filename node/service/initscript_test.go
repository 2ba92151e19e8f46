package service

import (
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

// dummy is a daemon for the init script: it writes its arguments and process
// id, then waits until somebody ends it. The file "code" beside it makes it end
// at once with that exit code.
const dummy = `#!/bin/sh
dir=${0%/*}
printf '%s\n' "$@" >"$dir/args"
echo $$ >>"$dir/starts"
[ ! -f "$dir/code" ] || exit "$(cat "$dir/code")"
trap 'echo term >"$dir/term"; exit 0' TERM
while :; do sleep 0.05; done
`

type lab struct {
	t              *testing.T
	dir, run, path string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	l.run = filepath.Join(l.dir, "run")
	binary := filepath.Join(l.dir, "daemon")
	if err := os.WriteFile(binary, []byte(dummy), 0o755); err != nil {
		t.Fatal(err)
	}
	s := Spec{Interface: "lab0", State: filepath.Join(l.dir, "state"), Credential: []byte("x"), Flags: []string{"--network=a b'c\"$HOME"}}
	l.path = filepath.Join(l.dir, s.name())
	if err := os.WriteFile(l.path, []byte(script(s, binary, l.run, filepath.Join(l.dir, "log"))), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.do("stop", 0) })
	return l
}

func (l *lab) do(verb string, want int) string {
	l.t.Helper()
	out, err := os.CreateTemp(l.dir, "out")
	if err != nil {
		l.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("/bin/sh", l.path, verb)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	said, _ := os.ReadFile(out.Name())
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code, err = e.ExitCode(), nil
	}
	if err != nil || code != want {
		l.t.Fatalf("%s: code %d, %v, want code %d: %s", verb, code, err, want, said)
	}
	return string(said)
}

func (l *lab) starts() []int {
	data, err := os.ReadFile(filepath.Join(l.dir, "starts"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// pid reads a process id from a file in the script's run folder.
func (l *lab) pid(name string) int {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.run, name))
	if err != nil {
		l.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		l.t.Fatal(err)
	}
	return pid
}

func (l *lab) until(what string, f func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(l.dir, "log", "cbnetd-lab0.log"))
			l.t.Fatalf("%s: not within 15 s\n%s", what, log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (l *lab) log() string {
	data, _ := os.ReadFile(filepath.Join(l.dir, "log", "cbnetd-lab0.log"))
	return string(data)
}

func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestInitScriptLife(t *testing.T) {
	l := newLab(t)
	l.do("status", 3)
	l.do("start", 0)
	l.until("the first start", func() bool { return len(l.starts()) == 1 })
	l.do("status", 0)
	args, err := os.ReadFile(filepath.Join(l.dir, "args"))
	if want := "--network=a b'c\"$HOME\n"; err != nil || !strings.HasSuffix(string(args), want) {
		t.Errorf("arguments: %q, %v; want them to end with %q", args, err, want)
	}
	if said := l.do("start", 0); !strings.Contains(said, "runs already") {
		t.Errorf("second start: %s", said)
	}

	first := l.starts()[0]
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.until("a start after the crash", func() bool { return len(l.starts()) == 2 })
	if l.until("the daemon's pid file", func() bool {
		data, err := os.ReadFile(filepath.Join(l.run, "cbnetd-lab0.pid"))
		return err == nil && strings.TrimSpace(string(data)) == strconv.Itoa(l.starts()[1])
	}); !strings.Contains(l.log(), "ended with code 137") {
		t.Errorf("log: %q, want the exit code in it", l.log())
	}

	second := l.starts()[1]
	l.do("restart", 0)
	l.until("a start by restart", func() bool { return len(l.starts()) == 3 })
	if runs(second) {
		t.Error("the old daemon still runs after restart")
	}
	loop := l.pid("cbnetd-lab0.loop.pid")
	l.do("stop", 0)
	if _, err := os.Stat(filepath.Join(l.dir, "term")); err != nil {
		t.Errorf("the daemon got no SIGTERM: %v", err)
	}
	for _, pid := range append(l.starts(), loop) {
		if runs(pid) {
			t.Errorf("process %d runs after stop", pid)
		}
	}
	l.do("status", 3)
	l.do("stop", 0)
	l.do("reload", 2)
}

// A daemon whose loop was killed is taken over, not doubled.
func TestInitScriptOrphan(t *testing.T) {
	l := newLab(t)
	l.do("start", 0)
	l.until("the first start", func() bool { return len(l.starts()) == 1 })
	l.until("its pid file", func() bool { _, err := os.Stat(filepath.Join(l.run, "cbnetd-lab0.pid")); return err == nil })
	loop := l.pid("cbnetd-lab0.loop.pid")
	if err := syscall.Kill(loop, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	l.until("the end of the loop", func() bool { return !runs(loop) })
	l.do("start", 0)
	l.until("a second start", func() bool { return len(l.starts()) == 2 })
	if runs(l.starts()[0]) {
		t.Error("two daemons run")
	}
}

func TestInitScriptGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name, code string
		want       string
	}{
		{"after a deliberate end", "0", ""},
		{"after wrong usage", "2", "not started again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			if err := os.WriteFile(filepath.Join(l.dir, "code"), []byte(tt.code), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/bin/sh", l.path, "loop") // in the foreground: it ends by itself
			log, err := os.Create(filepath.Join(l.dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if err := os.MkdirAll(l.run, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = log, log
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			said, _ := os.ReadFile(log.Name())
			if got := len(l.starts()); got != 1 || !strings.Contains(string(said), tt.want) {
				t.Errorf("starts: %d, said %q; want 1 and %q", got, said, tt.want)
			}
		})
	}
}

func FuzzList(f *testing.F) {
	f.Add([]byte(`{"format":1,"state":"/x","files":["/etc/passwd"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseList("list", data)
		if err == nil && l.Format != 1 {
			t.Errorf("format %d was taken", l.Format)
		}
	})
}

func FuzzQuoteShell(f *testing.F) {
	f.Add("a'b c")
	f.Fuzz(func(t *testing.T, s string) {
		q := quoteShell(s)
		if strings.ReplaceAll(strings.ReplaceAll(q, `'\''`, ""), "'", "") != strings.ReplaceAll(s, "'", "") && !strings.Contains(s, `\`) {
			t.Errorf("%q became %q", s, q)
		}
	})
}
