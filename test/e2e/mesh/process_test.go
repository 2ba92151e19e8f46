package mesh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// root is the module's directory.
var root = func() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		return filepath.Join("..", "..", "..")
	}
	return dir
}()

// bin returns the path of a built binary.
func bin(name string) string { return filepath.Join(root, "bin", name) }

// process is a daemon that a test started.
type process struct {
	cmd  *netlab.Cmd
	done chan struct{}
	err  error // of Wait, once done is closed
}

// launch starts a daemon; what it writes is appended to the file log. The caller
// has to end it.
func launch(cmd *netlab.Cmd, log string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s (run `make build`): %w", cmd.Path, err), f.Close())
	}
	go func() {
		p.err = errors.Join(cmd.Wait(), f.Close())
		close(p.done)
	}()
	return p, nil
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end sends a signal and waits until the process has ended. After ten seconds
// it kills it, which is an error.
func (p *process) end(sig syscall.Signal) error {
	send := func(sig syscall.Signal) error {
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal process %d: %w", p.cmd.Process.Pid, err)
		}
		return nil
	}
	if err := send(sig); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
	}
	err := fmt.Errorf("process %d did not end within 10 s of %v", p.cmd.Process.Pid, sig)
	err = errors.Join(err, send(syscall.SIGKILL))
	<-p.done
	return err
}

// result is what a command that ended left.
type result struct {
	stdout, stderr string
	code           int
}

// commandTime is what a command may take.
const commandTime = time.Minute

// run runs a program of this machine to its end.
func run(t *testing.T, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	return finish(t, cmd, cmd.Run)
}

// runAt runs a program at a host to its end.
func runAt(t *testing.T, h *netlab.Host, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := h.Command(ctx, argv...)
	return finish(t, cmd.Cmd, cmd.Run)
}

func finish(t *testing.T, cmd *exec.Cmd, run func() error) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return r
}

// must runs a program that has to succeed and returns its standard output.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	r := run(t, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %q: code %d: %s%s", name, args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// eventually waits until f says nil and returns how long that took; what f last
// said fails the test.
func eventually(t *testing.T, limit time.Duration, what string, f func(context.Context) error) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := f(ctx)
		if err == nil {
			return time.Since(start)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, last)
		}
	}
}

// lines returns the lines of a log that carry one of the levels. A line without
// a level, such as a panic's, counts as of every one.
func lines(log string, levels ...string) (out []string) {
	for line := range strings.Lines(log) {
		_, rest, ok := strings.Cut(line, "level=")
		level, _, _ := strings.Cut(rest, " ")
		if !ok || slices.Contains(levels, level) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}
