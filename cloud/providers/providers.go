// Package providers makes the driver of an account: the one place that knows
// all clouds.
package providers

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/cloud/azure"
	"github.com/cbnet-io/cbnet/cloud/gcp"
	"github.com/cbnet-io/cbnet/cloud/guard"
	"github.com/cbnet-io/cbnet/cloud/openstack"
)

// Names lists the providers, sorted.
func Names() []string {
	return []string{alibaba.Provider, aws.Provider, azure.Provider, gcp.Provider, openstack.Provider}
}

// Config says which account to use and how.
type Config struct {
	Account  string // the user's name for it, for metrics and log
	Provider string // one of Names
	Region   string // of calls that name none; empty: the credentials' own or the provider's default
	Endpoint string // URL in place of the provider's own; plain http is accepted only here and in a clouds.yaml
	// Credentials are the bytes of a file in the ecosystem's own format: the
	// Aliyun CLI's config.json (alibaba), a shared credentials file (aws),
	// application default credentials (gcp), a
	// service principal's JSON (azure), a clouds.yaml (openstack).
	Credentials []byte
	// Ambient allows the ecosystem's own ways of finding credentials
	// (environment, profiles, well-known files, instance roles) when
	// Credentials is empty. Without it nothing but this Config is read.
	Ambient bool

	Transport http.RoundTripper // default http.DefaultTransport
	Metrics   *guard.Metrics    // nil: none
	Log       *slog.Logger      // nil: none

	// pace goes around the transport of a driver that makes its own.
	pace func(http.RoundTripper) http.RoundTripper
}

// LogValue implements slog.LogValuer: credentials never reach a log.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("account", c.Account), slog.String("provider", c.Provider),
		slog.String("region", c.Region), slog.String("endpoint", c.Endpoint), slog.String("credentials", "REDACTED"))
}

// New returns the guarded driver of an account. It makes no request, except
// that the default chains of AWS, Alibaba and Google may ask the instance they run on. Errors wrap
// [cloud.ErrInvalid] or [cloud.ErrAuth] and never quote credentials.
func New(ctx context.Context, cfg Config) (cloud.Driver, error) {
	if len(cfg.Credentials) == 0 && !cfg.Ambient {
		return nil, fmt.Errorf("provider %s: %w: no credentials", cfg.Provider, cloud.ErrInvalid)
	}
	opt := guard.Options{Account: cfg.Account, Metrics: cfg.Metrics, Log: cfg.Log}
	given := cfg.Transport
	cfg.Transport = guard.NewTransport(given, opt)
	cfg.pace = func(next http.RoundTripper) http.RoundTripper {
		if given != nil {
			next = given
		}
		return guard.NewTransport(next, opt)
	}
	d, err := driver(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return guard.New(d, opt), nil
}

func driver(ctx context.Context, cfg Config) (guard.Driver, error) {
	ambient := len(cfg.Credentials) == 0
	switch cfg.Provider {
	case alibaba.Provider:
		return alibaba.New(ctx, alibaba.Config{
			Region: cfg.Region, Endpoint: cfg.Endpoint, Credentials: cfg.Credentials, Ambient: ambient, Transport: cfg.Transport,
		})
	case aws.Provider:
		return aws.New(ctx, aws.Config{
			Region: cfg.Region, Endpoint: cfg.Endpoint, Credentials: cfg.Credentials, Ambient: ambient, Transport: cfg.Transport,
		})
	case azure.Provider:
		return azure.New(ctx, azure.Config{
			Region: cfg.Region, Endpoint: cfg.Endpoint, Credentials: cfg.Credentials, Ambient: ambient, Transport: cfg.Transport,
		})
	case gcp.Provider:
		return gcp.New(ctx, gcp.Config{Endpoint: cfg.Endpoint, Credentials: cfg.Credentials, Ambient: ambient, Transport: cfg.Transport})
	case openstack.Provider:
		return openstack.New(ctx, openstack.Config{
			Region: cfg.Region, Endpoint: cfg.Endpoint, Credentials: cfg.Credentials, Ambient: ambient, Wrap: cfg.pace,
		})
	}
	return nil, fmt.Errorf("provider %q: %w: want one of %s", cfg.Provider, cloud.ErrInvalid, strings.Join(Names(), ", "))
}
