package node

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cbnet-io/cbnet/internal/version"
)

// maxScrapes bounds the scrapes that are served at once.
const maxScrapes = 4

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "cbnet_build_info",
		Help:        "Is 1; its label says which version of cbnetd runs.",
		ConstLabels: prometheus.Labels{"version": version.Version},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// serveMetrics answers GET /metrics on the listeners until ctx ends, and
// closes them.
func serveMetrics(ctx context.Context, r *prometheus.Registry, ls []net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: 10 * time.Second}))
	s := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, len(ls))
	for _, l := range ls {
		go func() { ended <- s.Serve(l) }()
	}
	left := len(ls)
	var first error
	select {
	case first = <-ended:
		left--
	case <-ctx.Done():
	}
	s.Close()
	for range left {
		<-ended
	}
	return first
}
