package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/identity"
)

// Port is where nodes listen on their overlay addresses, TCP.
const Port = 7947

const (
	maxRequest  = 1 << 20 // bytes of a request's body
	maxCommands = 64      // commands that run at once on a node
	bodyTimeout = 5 * time.Second
)

// Version is the answer of GET /v1/version.
type Version struct {
	Node    string `json:"node"`
	Mesh    string `json:"mesh"`
	Version string `json:"version"` // of the daemon
	Exec    bool   `json:"exec"`    // whether commands may be run
}

// Options are what the node's side needs.
type Options struct {
	Bundle  *identity.Bundle
	Roots   *identity.Roots
	Version string
	Exec    bool         // run commands for callers of role server
	Log     *slog.Logger // nil: silent
}

type server struct {
	o     Options
	grant identity.Grant
	slots chan struct{} // one per command that runs

	warnings *rate.Limiter
}

// Serve answers on the listeners until ctx ends, closes them, kills the
// commands that still run and returns. It speaks TLS by itself. How many
// connections there may be is the listeners' business.
func Serve(ctx context.Context, o Options, listeners ...net.Listener) error {
	h, err := Handler(o)
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler:           h,
		TLSConfig:         serverTLS(o.Bundle, o.Roots),
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.logger().Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	s.Protocols.SetHTTP1(true) // one command per connection: its end is the command's
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- s.ServeTLS(l, "", "") }()
	}
	var first error
	left := len(listeners)
	select {
	case first = <-ended:
		left--
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.Shutdown(grace) != nil {
		s.Close()
	}
	for range left {
		<-ended
	}
	if ctx.Err() == nil && first != nil {
		return fmt.Errorf("node API: %w", first)
	}
	return nil
}

// Handler returns the API as HTTP sees it, for a server that has verified its
// clients' certificates. Commands end with the request's context.
func Handler(o Options) (http.Handler, error) {
	g, err := o.Roots.Verify(o.Bundle.Certificate, time.Now())
	if err != nil {
		return nil, fmt.Errorf("node API: %w", err)
	}
	s := &server{o: o, grant: g, slots: make(chan struct{}, maxCommands), warnings: rate.NewLimiter(1, 10)}
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/version", s.version)
	m.HandleFunc("POST /v1/exec", s.exec)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Also for a body that nobody wants: net/http reads it all the same, to
		// use the connection again.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a test's writer has none
		m.ServeHTTP(w, r)
	}), nil
}

func (o Options) logger() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

func (s *server) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Version{Node: s.grant.Node, Mesh: s.grant.Mesh, Version: s.o.Version, Exec: s.o.Exec})
}

// caller returns who asks, by the certificate of the connection. It is
// verified again: a connection may outlive a revocation.
func (s *server) caller(r *http.Request) (identity.Grant, error) {
	if r.TLS == nil {
		return identity.Grant{}, fmt.Errorf("no certificate")
	}
	return grantOf(s.o.Roots, *r.TLS)
}

type refusal struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(refusal{Error: text})
}
