package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/providers"
	"github.com/cbnet-io/cbnet/server"
)

// driverTimeout bounds the making of a driver: AWS's default chain may ask an
// instance's metadata service that is not there.
const driverTimeout = 15 * time.Second

// newDriver returns the maker of drivers. An account that was given no
// credentials uses what the server's own environment has.
func newDriver(log *slog.Logger) server.NewDriver {
	return func(ctx context.Context, a server.Account) (cloud.Driver, error) {
		ctx, cancel := context.WithTimeout(ctx, driverTimeout)
		defer cancel()
		return providers.New(ctx, providers.Config{
			Account: a.Name, Provider: a.Provider, Region: a.Region, Endpoint: a.Endpoint,
			Credentials: a.Credentials, Ambient: len(a.Credentials) == 0, Log: log,
		})
	}
}
