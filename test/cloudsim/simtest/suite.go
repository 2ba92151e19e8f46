package simtest

import (
	"fmt"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// Inventory lists what of a mesh there is in a cloud, but for what is only shown
// for a while after its end.
func Inventory(list func() []sim.Object) func(testing.TB, string) []string {
	return func(_ testing.TB, mesh string) []string {
		var left []string
		for _, o := range list() {
			if o.Tags[cloud.KeyMesh] == mesh && o.State != "terminated" {
				left = append(left, fmt.Sprintf("%s %s %s", o.Kind, o.ID, o.State))
			}
		}
		return left
	}
}

// SetFaults sets the faults of a cloud and of its region as the suite wants them.
func SetFaults(injector *faults.Injector, name, region string) func(testing.TB, cloudtest.Faults) {
	return func(_ testing.TB, want cloudtest.Faults) {
		c := faults.Config{Throttle: want.Throttle, DropAfterCommit: want.Drop, AsyncFail: want.LateFail}
		if want.VMQuota > 0 {
			c.Quota = map[string]int{name + "/vm": want.VMQuota}
		}
		if want.NoCapacity {
			c.NoCapacity = []string{name + "/" + region}
		}
		injector.Set(c)
	}
}
