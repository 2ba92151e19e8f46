package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// maxRequest bounds a request's body, in bytes.
const maxRequest = 8 << 20

// server runs commands for the test.
type server struct {
	mu      sync.Mutex          // guards running
	running map[string]*process // by name
}

// process is a started command. done is closed by its only waiter, which sets
// state before.
type process struct {
	cmd   *exec.Cmd
	done  chan struct{}
	state error
}

func newServer() http.Handler {
	s := &server{running: make(map[string]*process)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /run", handle(s.run))
	mux.HandleFunc("POST /start", handle(s.start))
	mux.HandleFunc("POST /signal", handle(s.signal))
	mux.HandleFunc("POST /file", handle(s.file))
	return mux
}

// handle makes an HTTP handler of a function from request to answer.
func handle[In, Out any](do func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, err := do(r.Context(), in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			fmt.Fprintln(os.Stderr, "guest: answer:", err)
		}
	}
}

func (s *server) run(ctx context.Context, in RunRequest) (Result, error) {
	if len(in.Args) == 0 {
		return Result{}, errors.New("want a command")
	}
	ctx, cancel := context.WithTimeout(ctx, in.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, in.Args[0], in.Args[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	exit, err := exitOf(cmd.Run())
	if ctx.Err() != nil {
		err = fmt.Errorf("%q did not end within %s: %s%s", in.Args, in.Timeout, stdout.String(), stderr.String())
	}
	return Result{Exit: exit, Stdout: stdout.String(), Stderr: stderr.String()}, err
}

// exitOf tells a command that failed from one that could not be run.
func exitOf(err error) (int, error) {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode(), nil
	}
	return 0, err
}

func (s *server) start(_ context.Context, in StartRequest) (struct{}, error) {
	if len(in.Args) == 0 {
		return struct{}{}, errors.New("want a command")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[in.Name] != nil {
		return struct{}{}, fmt.Errorf("%s runs already", in.Name)
	}
	p := &process{cmd: exec.Command(in.Args[0], in.Args[1:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = os.Stdout, os.Stderr
	if err := p.cmd.Start(); err != nil {
		return struct{}{}, err
	}
	s.running[in.Name] = p
	go func() { // ends with the command
		p.state = p.cmd.Wait()
		close(p.done)
	}()
	return struct{}{}, nil
}

func (s *server) signal(ctx context.Context, in SignalRequest) (Result, error) {
	s.mu.Lock()
	p := s.running[in.Name]
	s.mu.Unlock()
	if p == nil {
		return Result{}, fmt.Errorf("%s does not run", in.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, in.Timeout)
	defer cancel()
	err := p.cmd.Process.Signal(syscall.Signal(in.Signal))
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return Result{}, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%s did not end within %s of signal %d", in.Name, in.Timeout, in.Signal)
	}
	s.mu.Lock()
	delete(s.running, in.Name)
	s.mu.Unlock()
	exit, err := exitOf(p.state)
	return Result{Exit: exit}, err
}

func (s *server) file(_ context.Context, in File) (struct{}, error) {
	if err := os.MkdirAll(filepath.Dir(in.Path), 0o755); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, os.WriteFile(in.Path, in.Data, in.Mode)
}
