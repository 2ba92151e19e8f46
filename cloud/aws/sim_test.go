package aws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/aws"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	simaws "github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// startSim serves a simulated EC2, whose machines here have states only, for the
// length of the test.
func startSim(t *testing.T) (string, *simaws.Cloud, *faults.Injector) {
	t.Helper()
	f, err := fabric.Open(t.Context(), fabric.Options{NoMachines: true, BootTime: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	injector := faults.New(faults.Config{})
	sim := simaws.New(simaws.Options{Fabric: f, Faults: injector, Hidden: 100 * time.Millisecond})
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		srv.Close()
		sim.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
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
		Inventory: func(_ testing.TB, mesh string) []string {
			var left []string
			for _, o := range sim.Inventory() {
				if o.Tags[cloud.KeyMesh] == mesh && o.State != "terminated" {
					left = append(left, fmt.Sprintf("%s %s %s", o.Kind, o.ID, o.State))
				}
			}
			return left
		},
		VMKey: func(t testing.TB, id string) string { return keyOf(t, endpoint, sim.Credentials(), id) },
		SetFaults: func(_ testing.TB, want cloudtest.Faults) {
			c := faults.Config{Throttle: want.Throttle, DropAfterCommit: want.Drop, AsyncFail: want.LateFail}
			if want.VMQuota > 0 {
				c.Quota = map[string]int{"aws/vm": want.VMQuota}
			}
			if want.NoCapacity {
				c.NoCapacity = []string{"aws/" + region}
			}
			injector.Set(c)
		},
	})
}
