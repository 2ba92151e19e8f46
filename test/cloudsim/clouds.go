package main

import (
	"log/slog"

	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/openstack"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// served is a cloud and where its clients begin.
type served struct {
	sim.Cloud
	url string
}

// cloudNames are the names of the clouds that are simulated.
var cloudNames = []string{alibaba.Name, aws.Name, azure.Name, gcp.Name, openstack.Name}

// newClouds makes the clouds that are simulated, each below base/NAME.
func newClouds(f *fabric.Fabric, i *faults.Injector, base string, log *slog.Logger) []served {
	return []served{
		{alibaba.New(alibaba.Options{Fabric: f, Faults: i, Log: log.With("component", "alibaba")}), base + "/alibaba"},
		{aws.New(aws.Options{Fabric: f, Faults: i, Log: log.With("component", "aws")}), base + "/aws"},
		{azure.New(azure.Options{Fabric: f, Faults: i, URL: base + "/azure", Log: log.With("component", "azure")}), base + "/azure"},
		{gcp.New(gcp.Options{Fabric: f, Faults: i, URL: base + "/gcp", Log: log.With("component", "gcp")}), base + "/gcp"},
		{openstack.New(openstack.Options{Fabric: f, Faults: i, URL: base + "/openstack", Log: log.With("component", "openstack")}), base + "/openstack/v3"},
	}
}
