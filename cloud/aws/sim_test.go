package aws_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	simaws "github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// startSim serves a simulated EC2, whose machines here have states only, for the
// length of the test.
func startSim(t *testing.T) (string, *simaws.Cloud, *faults.Injector) {
	t.Helper()
	f := simtest.Paper(t, 50*time.Millisecond)
	injector := faults.New(faults.Config{})
	sim := simaws.New(simaws.Options{Fabric: f, Faults: injector, Hidden: 100 * time.Millisecond})
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		srv.Close()
		sim.Close()
	})
	return srv.URL, sim, injector
}

// TestSim runs the suite against the simulated EC2. It honours everything and
// has no quirks.
func TestSim(t *testing.T) {
	t.Parallel()
	endpoint, sim, injector := startSim(t)
	const region = "ap-northeast-2"
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver {
			return newDriver(t, aws.Config{Endpoint: endpoint, Credentials: sim.Credentials(), Transport: transport})
		},
		NewWrong: func(t testing.TB) cloud.Driver {
			return newDriver(t, aws.Config{Endpoint: endpoint,
				Credentials: []byte("[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = wrong\n")})
		},
		Region:       region,
		Image:        "debian-12",
		VCPU:         2,
		MemoryMiB:    4096,
		MaxUserData:  aws.MaxUserData,
		UnknownID:    unknownID,
		UnknownImage: "ami-0123456789abcdef0",
		Tick:         20 * time.Millisecond,
		Inventory:    simtest.Inventory(sim.Inventory),
		VMKey:        func(t testing.TB, id string) string { return keyOf(t, endpoint, sim.Credentials(), id) },
		SetFaults:    simtest.SetFaults(injector, "aws", region),
	})
}
