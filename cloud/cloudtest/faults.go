package cloudtest

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/guard"
)

// faults skips a test at an endpoint that makes no faults.
func (s *suite) faults(t *testing.T) {
	t.Helper()
	if s.SetFaults == nil {
		t.Skip("this endpoint makes no faults to order")
	}
}

// storm is the whole course with a guarded driver while a tenth of the calls
// is throttled and a twentieth of the answers lost.
func (s *suite) storm(t *testing.T) {
	s.faults(t)
	calm := s.begin(t, nil).withNAT() // resolves the catalogue
	s.SetFaults(t, Faults{Throttle: 0.1, Drop: 0.05})
	guarded := *s
	guarded.New = func(t testing.TB, transport http.RoundTripper) cloud.Driver {
		opt := guard.Options{Pause: 5 * time.Millisecond, MaxPause: 50 * time.Millisecond, Rate: 1000, MinRate: 50}
		d, ok := s.New(t, guard.NewTransport(transport, opt)).(guard.Driver)
		if !ok {
			t.Fatal("the driver has no Catalog")
		}
		return guard.New(d, opt)
	}
	calm.suite = &guarded
	l := &Lossy{}
	calm.transport = l
	calm.d = guarded.New(t, l)
	start := time.Now()
	calm.course()
	t.Logf("%d changing and %d other calls in %s", len(l.Calls()), l.Others(), time.Since(start).Round(time.Millisecond))
}

func (s *suite) quota(t *testing.T) {
	s.faults(t)
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	s.SetFaults(t, Faults{VMQuota: 1})
	sc.createVM(sc.vmSpec(1))
	_, err := sc.d.CreateVM(t.Context(), sc.vmSpec(3))
	wantFault(t, "a machine over the quota", sc.d, err, cloud.ErrQuota, s.Region, sc.vmSpec(3).Name)
	sc.running(sc.vmSpec(1))
	sc.kinds(sc.full(1))
}

func (s *suite) noCapacity(t *testing.T) {
	s.faults(t)
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	s.SetFaults(t, Faults{NoCapacity: true})
	_, err := sc.d.CreateVM(t.Context(), sc.vmSpec(1))
	if err != nil {
		wantFault(t, "a machine without capacity", sc.d, err, cloud.ErrCapacity, s.Region, sc.vmSpec(1).Name)
		sc.kinds(sc.full(0))
		return
	}
	sc.failsLate() // some clouds find out after they said yes
}

func (s *suite) lateFailure(t *testing.T) {
	s.faults(t)
	sc := s.begin(t, nil)
	sc.ensureNetwork()
	s.SetFaults(t, Faults{LateFail: 1})
	spec := sc.vmSpec(1)
	vm := sc.createVM(spec)
	sc.failsLate()
	again := sc.createVM(spec)
	if again.ID != vm.ID || again.State != cloud.VMFailed {
		t.Errorf("the token of the failed %s gave %s in state %s", vm.ID, again.ID, again.State)
	}
	// A new token makes a new machine, once the old one is deleted.
	s.SetFaults(t, Faults{})
	sc.eventually("failed VM deleted", func() string {
		for _, r := range cloud.DeleteOrder(sc.list()) {
			// A port or an address that it leaves behind holds the next one's.
			if r.Kind == cloud.KindVM || r.Kind == cloud.KindPort || r.Kind == cloud.KindPublicIP {
				if err := sc.d.Delete(t.Context(), r); !errors.Is(err, cloud.ErrInUse) {
					fatal(t, "delete", err)
				}
				return "still listed"
			}
		}
		return ""
	})
	spec.Token += "-again"
	if next := sc.createVM(spec); next.ID == vm.ID {
		t.Errorf("the new token gave the old machine %s", vm.ID)
	}
	sc.running(spec)
}

// failsLate waits until the owner's machine is listed as failed, with a reason.
func (sc *scenario) failsLate() {
	sc.t.Helper()
	sc.eventually("VM failed", func() string {
		list := sc.list()
		i := slices.IndexFunc(list, func(r cloud.Resource) bool { return r.Kind == cloud.KindVM })
		if i < 0 {
			return "not listed yet"
		}
		vm := list[i].VM
		if vm.State != cloud.VMFailed {
			return string(vm.State)
		}
		if vm.Reason == "" {
			sc.t.Error("no reason is given for the failure")
		}
		sc.t.Logf("reason: %s", vm.Reason)
		return ""
	})
}
