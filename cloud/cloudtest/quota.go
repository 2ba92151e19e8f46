package cloudtest

import (
	"fmt"
	"maps"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// quotas reads the account's limits before and after a machine is made: one of
// them must show it.
func (s *suite) quotas(t *testing.T) {
	sc := s.begin(t, nil)
	q, ok := cloud.As[cloud.Quoter](sc.d)
	if !ok {
		t.Skip("the driver tells no quotas")
	}
	read := func() map[string]int {
		list, err := q.Quotas(t.Context(), s.Region)
		fatal(t, "quotas", err)
		used := map[string]int{}
		for _, v := range list {
			if _, twice := used[v.Name]; twice || v.Name == "" || v.Used < 0 || v.Limit < -1 {
				t.Fatalf("quota %+v among %+v", v, list)
			}
			used[v.Name] = v.Used
		}
		return used
	}
	sc.ensureNetwork()
	before := read()
	sc.createVM(sc.vmSpec(0))
	sc.running(sc.vmSpec(0))
	sc.eventually("the machine counted", func() string {
		now := read()
		for name, n := range now {
			if n > before[name] {
				t.Logf("%d limits; %s: %d used after %d", len(now), name, n, before[name])
				return ""
			}
		}
		if !maps.Equal(now, before) {
			return fmt.Sprintf("%v, and before %v", now, before)
		}
		return fmt.Sprintf("still %v", now)
	})
}
