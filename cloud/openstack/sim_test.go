package openstack_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/openstack"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	simopenstack "github.com/cbnet-io/cbnet/test/cloudsim/openstack"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestSim runs the suite against the simulated OpenStack, whose machines here
// have states only.
func TestSim(t *testing.T) {
	t.Parallel()
	f := simtest.Paper(t, 50*time.Millisecond)
	injector := faults.New(faults.Config{})
	var sim *simopenstack.Cloud
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/openstack", sim.Handler()).ServeHTTP(w, r)
	}))
	endpoint := srv.URL + "/openstack"
	sim = simopenstack.New(simopenstack.Options{Fabric: f, Faults: injector, URL: endpoint, RetryAfter: -1})
	t.Cleanup(func() {
		srv.Close()
		sim.Close()
	})
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver {
			return newDriver(t, openstack.Config{Endpoint: endpoint, Credentials: sim.Credentials(), Transport: transport})
		},
		NewWrong: func(t testing.TB) cloud.Driver {
			return newDriver(t, openstack.Config{Endpoint: endpoint, Credentials: wrongPassword(t, sim.Credentials())})
		},
		Region:      simopenstack.Region,
		Image:       "debian-12",
		VCPU:        1,
		MemoryMiB:   512,
		MaxUserData: openstack.MaxUserData,
		UnknownID:   unknownID,
		Tick:        20 * time.Millisecond,
		Inventory: func(_ testing.TB, mesh string) []string {
			var left []string
			for _, o := range sim.Inventory() {
				ours := o.Tags[cloud.KeyMesh] == mesh || strings.Contains(fmt.Sprint(o.Tags), mesh)
				if ours && o.State != "deleted" {
					left = append(left, fmt.Sprintf("%s %s %s", o.Kind, o.ID, o.State))
				}
			}
			return left
		},
		VMKey: func(t testing.TB, id string) string {
			return keyOf(t, endpoint, sim.Credentials(), "cloudsim", simopenstack.Region, id)
		},
		SetFaults: simtest.SetFaults(injector, "openstack", simopenstack.Region),
	})
}
