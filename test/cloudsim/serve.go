package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// closeTimeout bounds the clean-up at the end.
const closeTimeout = 30 * time.Second

// serve runs the simulated clouds until ctx ends, and removes what they made.
func serve(ctx context.Context, s settings, stdout io.Writer, log *slog.Logger) (err error) {
	// The port first: nothing has been made yet if it is taken.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close() // again, unless the server has
	injector := faults.New(s.faults)
	f, err := fabric.Open(ctx, fabric.Options{
		StateDir: s.state, Log: log, NoMachines: s.noMachines,
		Times: func(cloud string) (boot, removal time.Duration) {
			return injector.BootTime(cloud, s.bootTime), injector.DeleteTime(cloud)
		},
	})
	if err != nil {
		return fmt.Errorf("machines: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		err = errors.Join(err, f.Close(ctx))
	}()
	base := baseURL(listener.Addr())
	clouds := newClouds(f, injector, base, log)
	defer func() {
		for _, c := range clouds {
			c.Close()
		}
	}()
	if err := writeCredentials(filepath.Join(s.state, "credentials"), clouds); err != nil {
		return err
	}
	server := &http.Server{
		Handler:           routes(clouds, &admin{clouds: clouds, fabric: f, faults: injector}),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return serveHTTP(ctx, server, listener, func() error { return printReady(stdout, clouds, base) })
}

// serveHTTP serves until ctx ends; ready is called when requests are accepted.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener, ready func() error) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := ready(); err != nil {
		return errors.Join(err, server.Close(), ignoreClosed(<-served))
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		return errors.Join(server.Close(), ignoreClosed(<-served))
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// baseURL is where clients on this host find a listener.
func baseURL(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	ip := at.Addr().Unmap()
	if ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return "http://" + netip.AddrPortFrom(ip, at.Port()).String()
}

// routes leads each request to its cloud, below /NAME, or to the admin API.
func routes(clouds []served, a *admin) http.Handler {
	mux := http.NewServeMux()
	for _, c := range clouds {
		prefix := "/" + c.Name()
		h := http.StripPrefix(prefix, c.Handler())
		mux.Handle(prefix, h)
		mux.Handle(prefix+"/", h)
		if r, ok := c.Cloud.(interface{ RootPath() string }); ok {
			mux.Handle(r.RootPath(), c.Handler()) // some clients keep nothing of a URL but the host
		}
	}
	mux.Handle("/admin/", http.StripPrefix("/admin", a.handler()))
	return mux
}

// printReady prints the one line that says where everything is.
func printReady(w io.Writer, clouds []served, base string) error {
	urls := map[string]string{"admin": base + "/admin"}
	for _, c := range clouds {
		urls[c.Name()] = c.url
	}
	if err := json.NewEncoder(w).Encode(urls); err != nil {
		return fmt.Errorf("print where the clouds are: %w", err)
	}
	return nil
}

// writeCredentials writes one file per cloud.
func writeCredentials(dir string, clouds []served) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	for _, c := range clouds {
		if err := os.WriteFile(filepath.Join(dir, c.Name()), c.Credentials(), 0o600); err != nil {
			return fmt.Errorf("credentials of %s: %w", c.Name(), err)
		}
	}
	return nil
}
