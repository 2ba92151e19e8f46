package main

import (
	"log/slog"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// served is a cloud and where its clients begin.
type served struct {
	sim.Cloud
	url string
}

// newClouds makes the clouds that are simulated, each below base/NAME.
func newClouds(_ *fabric.Fabric, _ *faults.Injector, _ string, _ *slog.Logger) []served {
	return nil
}
