package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a daemon at a host.
type Process struct {
	Name string

	host *Host
	cmd  *Cmd
	log  string // path
	show bool   // the first with this log
	done chan struct{}
	err  error // of Wait, once done is closed
}

// stopTimeout is how long Stop lets a daemon say good-bye.
const stopTimeout = 30 * time.Second

// Start starts a daemon, which runs until it is stopped or the lab ends. Its
// output and errors are appended to LogDir/HOST-NAME.log; the end of the log is
// shown if the test fails.
func (h *Host) Start(name string, argv ...string) *Process {
	h.lab.t.Helper()
	p, err := h.TryStart(name, argv...)
	if err != nil {
		h.lab.t.Fatalf("netlab: %v", err)
	}
	return p
}

// TryStart is Start for other goroutines than that of the test, and for what may
// not be there.
func (h *Host) TryStart(name string, argv ...string) (*Process, error) {
	path := filepath.Join(h.lab.opts.LogDir, strings.ReplaceAll(h.Name+"-"+name, "/", "_")+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s at host %s: %w", name, h.Name, err)
	}
	p := &Process{Name: name, host: h, cmd: h.Command(context.Background(), argv...), log: path, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := h.lab.launch(p); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s at host %s: %w", name, h.Name, err), log.Close())
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.done)
	}()
	return p, nil
}

// launch starts a process and remembers it.
func (l *Lab) launch(p *Process) error {
	l.procMu.Lock()
	defer l.procMu.Unlock()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	first := true
	for _, o := range l.procs {
		first = first && o.log != p.log
	}
	l.procs = append(l.procs, p)
	p.show = first
	return nil
}

// PID is the process's, as this process sees it; at the host it has another.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// PIDAtHost is the process's PID as programs at the host see it; 0 if it has ended.
func (p *Process) PIDAtHost() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok { // outermost namespace first
			f := strings.Fields(list)
			pid, err := strconv.Atoi(f[len(f)-1])
			if err != nil {
				return 0
			}
			return pid
		}
	}
	return 0
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended, as from exec.Cmd.Wait; valid after Done.
func (p *Process) Err() error { return p.err }

// Log is all that this and earlier processes of the name wrote at the host.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Signal sends a signal; none to a process that has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s at host %s: %w", p.Name, p.host.Name, err)
	}
	return nil
}

// Kill ends the process without warning (SIGKILL) and waits until it has.
func (p *Process) Kill() {
	p.host.lab.t.Helper()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		p.host.lab.t.Errorf("netlab: %v", err)
		return
	}
	<-p.done
}

// Stop asks the process to end (SIGTERM) and waits; after 30 s it kills it and
// the test has failed. It returns how the process ended.
func (p *Process) Stop() error {
	p.host.lab.t.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.host.lab.t.Errorf("netlab: %s at host %s did not stop in %s", p.Name, p.host.Name, stopTimeout)
		p.Kill()
	}
	return p.err
}

// How much of the logs is shown when a test fails, in bytes: of each, and of all.
const (
	tailSize  = 8000
	tailTotal = 100_000
)

// tail is the end of the process's log.
func (p *Process) tail(size int64) string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > size {
		if _, err := f.Seek(-size, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
