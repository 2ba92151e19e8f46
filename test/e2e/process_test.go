package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started.
type process struct {
	cmd  *exec.Cmd
	out  *syncBuffer // standard output
	log  string      // path of standard error
	done chan struct{}
	err  error // of Wait, once done is closed
}

// launch starts a binary; it ends with the test. Its log is appended to
// LOGDIR/name.log and shown when the test fails.
func launch(t *testing.T, name, dir string, args ...string) *process {
	t.Helper()
	path := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(bin(name), args...), out: &syncBuffer{}, log: path, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s (run `make build`): %v", name, err)
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.done)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the process politely and waits; after 30 s it kills it and the test fails.
func (p *process) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
		return
	default:
	}
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop in 30 s", p.cmd.Path)
		p.kill(t)
	}
}

// kill ends the process without warning and waits.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.done
}

func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal %s: %v", p.cmd.Path, err)
	}
}

// syncBuffer is a buffer that a process writes and a test reads.
type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// result is what a command that ended left.
type result struct {
	stdout, stderr string
	code           int
}

// command runs a program to its end, for a minute at most unless ctx says less.
func command(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	return commandIn(t, 5*time.Minute, env, name, args...)
}

func commandIn(t *testing.T, limit time.Duration, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%s %q: %v", name, args, err)
	}
	return r
}

// eventually waits until f says nil; what f last said fails the test.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		<-tick.C
	}
}

// tail shows the end of a file when the test failed.
func tail(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Logf("%v", err)
		return
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > 8000 {
		if _, err := f.Seek(-8000, io.SeekEnd); err != nil {
			t.Log(err)
		}
	}
	b, err := io.ReadAll(f)
	t.Logf("%s (%v):\n%s", path, err, b)
}
