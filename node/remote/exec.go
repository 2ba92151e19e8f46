package remote

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/cbnet-io/cbnet/identity"
)

const (
	aliveEvery = 10 * time.Second // a silent command's sign of life
	maxArgs    = 1000
	// stall is how long a caller may leave output unread.
	stall = 5 * time.Minute
	// outputGrace is how long output is read after the command itself ended:
	// something it left in the background may hold the pipe open.
	outputGrace = time.Second
)

// execRequest is the body of POST /v1/exec.
type execRequest struct {
	Command []string `json:"command"` // program and arguments, no shell between
}

func (s *server) exec(w http.ResponseWriter, r *http.Request) {
	g, err := s.caller(r)
	switch {
	case err != nil:
		refuse(w, http.StatusForbidden, err.Error())
		return
	case !g.Has(identity.RoleServer):
		if s.warnings.Allow() { // a member must not fill the disk
			s.o.logger().Warn("exec refused", "node", g.Node, "reason", "no role server")
		}
		refuse(w, http.StatusForbidden, fmt.Sprintf("exec on %s: the certificate of %s lacks the role server", s.grant.Node, g.Node))
		return
	case !s.o.Exec:
		refuse(w, http.StatusForbidden, fmt.Sprintf("exec is off on %s: its cbnetd runs without --exec; install it anew with --exec to allow commands", s.grant.Node))
		return
	}
	req, err := readExec(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "exec: "+err.Error())
		return
	}
	// From here on the caller's end shows as the end of the connection.
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		refuse(w, http.StatusTooManyRequests, fmt.Sprintf("exec on %s: %d commands run already; try again later", s.grant.Node, maxCommands))
		return
	}
	s.o.logger().Info("exec", "caller", g.Node, "program", req.Command[0])
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	out := &frames{w: w, flush: c.Flush, deadline: c.SetWriteDeadline}
	// The command is only ever ended by its own end or by the caller's.
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out.broken = cancel
	out.end(run(ctx, req.Command, out))
}

// readExec reads the whole body: only then does net/http notice that the caller
// goes away.
func readExec(w http.ResponseWriter, r *http.Request) (req execRequest, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return req, err
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, fmt.Errorf("want JSON with a command: %w", err)
	}
	if len(req.Command) == 0 || len(req.Command) > maxArgs || req.Command[0] == "" {
		return req, fmt.Errorf("command: want a program and at most %d arguments", maxArgs-1)
	}
	return req, nil
}

// run runs a command in its own process group and returns its exit code: for
// one that a signal ended 128 and its number, as shells do.
func run(ctx context.Context, command []string, out *frames) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
	cmd.Stdout, cmd.Stderr = out.stream(kindStdout), out.stream(kindStderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputGrace
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	var alive sync.WaitGroup
	alive.Go(func() { out.alive(stop) })
	err := cmd.Wait()
	close(stop)
	alive.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("ended: %w", context.Cause(ctx))
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return e.ExitCode(), nil
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well and left a child with the pipe
		return 0, nil
	}
	return 0, err
}

// frames writes a command's output as frames.
type frames struct {
	flush    func() error
	deadline func(time.Time) error
	broken   func() // called once a write fails

	mu sync.Mutex // one frame at a time
	w  io.Writer
}

func (f *frames) send(k kind, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.deadline(time.Now().Add(stall))
	if err == nil {
		err = writeFrame(f.w, k, payload)
	}
	if err == nil {
		err = f.flush()
	}
	if err != nil {
		f.broken()
	}
	return err
}

func (f *frames) alive(stop <-chan struct{}) {
	t := time.NewTicker(aliveEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			if f.send(kindAlive, nil) != nil {
				return
			}
		}
	}
}

func (f *frames) end(code int, err error) {
	if err != nil {
		_ = f.send(kindFail, []byte(err.Error()))
		return
	}
	_ = f.send(kindExit, binary.BigEndian.AppendUint32(nil, uint32(code)))
}

func (f *frames) stream(k kind) io.Writer { return frameWriter{f, k} }

type frameWriter struct {
	f *frames
	k kind
}

// Write implements io.Writer.
func (w frameWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		part := p[n:min(n+maxFrame, len(p))]
		if err := w.f.send(w.k, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return len(p), nil
}
