package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// MaxRevocations bounds a revocation list in POST /v1/revoke, in bytes.
const MaxRevocations = 4 << 20

// MaxBundle bounds a bundle in POST /v1/renew, in bytes.
const MaxBundle = 4 << 20

// maxSocketPath is what fits into a unix address (108 bytes with the final
// zero) beside the suffix that the socket carries while it is being made.
const maxSocketPath = 100

// Backend answers for the daemon. All methods may be called at once, before
// any peer is up. An [*Error] goes to the client with its status, any other
// error with 500.
type Backend interface {
	Status() Status
	Peers() []Peer
	Ping(ctx context.Context, name string) (Ping, error)
	Pathfinder
	Leave(ctx context.Context) error
	Revoke(ctx context.Context, signed []byte) error
	Renew(ctx context.Context, bundle []byte) (Renewal, error)
}

// CheckSocketPath reports whether a path can be a control socket.
func CheckSocketPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q: want an absolute path", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("%q: want at most %d bytes", path, maxSocketPath)
	}
	return nil
}

// Listen makes the socket, mode 0600, and the folder it lies in. A socket that
// a crash left is replaced; one that answers is an error.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if conn, err := net.DialTimeout("unix", path, dialTimeout); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: another daemon answers on it: choose another with --socket", path)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("control socket %s: there is something else of that name: choose another with --socket", path)
	}
	// Made under another name and moved: nobody can open it before its mode
	// is set.
	tmp := fmt.Sprintf("%s.%x", path, os.Getpid()&0xffffff)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(tmp, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		l.Close()
		os.Remove(tmp)
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return &listener{UnixListener: l, path: path}, nil
}

// Cleanup removes a socket that a crash left, also one that was not yet in its
// place. It is no error if there is none; one that answers stays.
func Cleanup(path string) error {
	others, err := filepath.Glob(path + ".*")
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	for _, p := range append(others, path) {
		if fi, err := os.Lstat(p); err != nil || fi.Mode().Type() != fs.ModeSocket {
			continue
		}
		if conn, err := net.DialTimeout("unix", p, dialTimeout); err == nil {
			conn.Close()
			continue
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("control socket: %w", err)
		}
	}
	return nil
}

// listener removes its socket when it is closed.
type listener struct {
	*net.UnixListener
	path string
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if err == nil {
		err = os.Remove(l.path)
	}
	return err
}

// Serve answers on a listener until ctx ends, then waits up to a second for
// the calls under way. It closes the listener.
func Serve(ctx context.Context, l net.Listener, b Backend) error {
	s := &http.Server{
		Handler:           Handler(b),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	<-ended
	return nil
}

// Handler returns the HTTP API of the control socket.
func Handler(b Backend) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, b.Status(), nil)
	})
	m.HandleFunc("GET /v1/peers", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, some(b.Peers()), nil)
	})
	m.HandleFunc("POST /v1/ping", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		if name == "" {
			answer(w, nil, &Error{Status: http.StatusBadRequest, Message: "ping: want ?name=NODE"})
			return
		}
		p, err := b.Ping(r.Context(), name)
		answer(w, p, err)
	})
	handlePaths(m, b)
	m.HandleFunc("POST /v1/leave", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, b.Leave(r.Context()))
	})
	m.HandleFunc("POST /v1/revoke", func(w http.ResponseWriter, r *http.Request) {
		signed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRevocations))
		if err != nil {
			answer(w, nil, &Error{Status: http.StatusBadRequest, Message: "revoke: " + err.Error()})
			return
		}
		answer(w, struct{}{}, b.Revoke(r.Context(), signed))
	})
	m.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, r *http.Request) {
		bundle, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBundle))
		if err != nil {
			answer(w, nil, &Error{Status: http.StatusBadRequest, Message: "renew: " + err.Error()})
			return
		}
		done, err := b.Renew(r.Context(), bundle)
		answer(w, done, err)
	})
	return m
}

func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Status: http.StatusInternalServerError, Message: err.Error()}
		}
		status, v = e.Status, e
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
