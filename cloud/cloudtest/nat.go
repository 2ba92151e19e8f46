package cloudtest

import (
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

// wayOut asks for a way out: it is refused where there is none, and else added
// to a network that stands, found again and deleted with the rest. The tests
// that lose answers go through it call by call.
func (s *suite) wayOut(t *testing.T) {
	l := &Lossy{}
	sc := s.begin(t, l)
	nat, ok := cloud.As[cloud.NAT](sc.d)
	if !ok {
		spec := sc.networkSpec()
		spec.NAT = true
		_, err := sc.d.EnsureNetwork(t.Context(), spec)
		wantFault(t, "a way out", sc.d, err, cloud.ErrInvalid, s.Region, spec.Name)
		if n := len(l.Calls()) + l.Others(); n != 0 {
			t.Errorf("%d calls were made, want none", n)
		}
		return
	}
	if nat.NAT() == "" {
		t.Error("what leads out has no name")
	}
	first := sc.ensureNetwork()
	sc.kinds(sc.full(0))
	sc.nat = true
	for range 2 {
		if net := sc.ensureNetwork(); net != first {
			t.Errorf("with a way out the network %+v became %+v", first, net)
		}
		sc.kinds(sc.full(0))
	}
	sc.createVM(sc.vmSpec(1))
	sc.running(sc.vmSpec(1))
	sc.kinds(sc.full(1))
	sc.deleteAll()
}
