package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/cbnet-io/cbnet/server/pki"
)

// Server is the HTTP API of a control plane.
type Server struct {
	pki      *pki.Service
	admin    *pki.Admin
	clouds   *Clouds
	mcis     MCIS
	members  *Members
	remote   Remote
	download *Download
	log      *slog.Logger

	history  *history
	throttle *throttle     // of calls without a token
	refusals *rate.Limiter // of lines in the log about requests without a token
	api      huma.API
	handler  http.Handler
	stop     chan struct{} // closed when Run ends: streams end too

	streamTimeout time.Duration // for a client to take one event
}

// New returns a server. It starts nothing.
func New(d Deps) (*Server, error) {
	if d.PKI == nil || d.Admin == nil || d.Clouds == nil || d.MCIS == nil || d.Members == nil || d.Remote == nil || d.Download == nil {
		return nil, errors.New("server: a part is missing")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		pki: d.PKI, admin: d.Admin, clouds: d.Clouds, mcis: d.MCIS, members: d.Members, remote: d.Remote,
		download: d.Download, log: d.Log,
		history: newHistory(time.Now()), throttle: newThrottle(), refusals: rate.NewLimiter(1, 20), stop: make(chan struct{}),
		streamTimeout: streamTimeout,
	}
	s.routes()
	return s, nil
}

// Handler returns the API without TLS. Watches work only while Run runs.
func (s *Server) Handler() http.Handler { return s.handler }

// Run serves on the listener until ctx ends, then lets requests finish for a few
// seconds. It closes the listener.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	events := s.mcis.Watch(ctx, "")
	g.Go(func() error {
		s.history.run(events)
		return nil
	})
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve API: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		close(s.stop)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			return errors.Join(fmt.Errorf("stop API: %w", err), srv.Close())
		}
		return nil
	})
	return g.Wait()
}
