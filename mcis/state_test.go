package mcis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
)

func TestDeleteOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		found, err := l.svc.Delete(t.Context(), "shop")
		if found || err != nil {
			t.Errorf("found %t, %v", found, err)
		}
		if _, err := l.svc.Status(t.Context(), "shop"); !errors.Is(err, mcis.ErrNotFound) {
			t.Errorf("status: %v", err)
		}
	})
}

func TestApplyWhileDeletingIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		l.settled()
		if _, err := l.svc.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.svc.Apply(t.Context(), l.spec(hybrid)); !errors.Is(err, mcis.ErrDeleting) {
			t.Errorf("apply: %v", err)
		}
		l.delete()
	})
}

func TestMachineRemovedByHandComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		before := l.settled()
		l.world.Fake("aws").Kill("shop-web-2")
		time.Sleep(10 * time.Second)
		st := l.settled()
		if st.Phase != mcis.PhaseDegraded || node(st, "shop-web-2").Phase != mcis.NodeUnreachable {
			t.Errorf("status %+v", st)
		}
		l.apply(hybrid)
		st = l.settled()
		if st.Phase != mcis.PhaseReady || node(st, "shop-web-2").ID == node(before, "shop-web-2").ID || l.vms() != 4 {
			t.Errorf("status %+v", st)
		}
		l.delete()
	})
}

func TestUnreachableCloudHoldsNobodyElseUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		spec := l.spec(hybrid)
		if _, err := l.svc.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond) // planned by now
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = true })
		time.Sleep(30 * time.Second)
		st, err := l.svc.Status(t.Context(), "shop")
		if err != nil || node(st, "shop-db-1").Phase != mcis.NodeReady || node(st, "shop-db-2").Phase != mcis.NodeReady {
			t.Errorf("status %+v, %v", st, err)
		}
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = false })
		if st := l.settled(); st.Phase != mcis.PhaseReady {
			t.Errorf("status %+v", st)
		}
		// The same in a delete: it waits as long as it takes.
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = true })
		if _, err := l.svc.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		st, err = l.svc.Status(t.Context(), "shop")
		if err != nil || st.Phase != mcis.PhaseDeleting || !strings.Contains(st.Reason, "list aws/east-1") {
			t.Errorf("status %+v, %v", st, err)
		}
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = false })
		l.delete()
	})
}

func TestPlanThatIsImpossible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		bad := strings.NewReplacer("spec: {vcpu: 2, memory: 4GiB}", "image: windows-3.11", "cloud: private", "cloud: private, spec: {vcpu: 99}").Replace(hybrid)
		var faults mcis.Faults
		if _, err := l.svc.Plan(t.Context(), l.spec(bad)); !errors.As(err, &faults) || len(faults) != 4 && len(faults) != 2 {
			t.Errorf("plan: %v", err)
		}
		for _, f := range faults {
			if f.Line != 5 && f.Line != 6 {
				t.Errorf("fault without its line: %v", f)
			}
		}
		l.apply(bad)
		st := l.settled()
		if st.Phase != mcis.PhaseFailed || !strings.Contains(st.Reason, "spec.yaml:5: groups[0].image") {
			t.Errorf("status %+v", st)
		}
		if inv := l.world.Inventory(); len(inv) > 0 {
			t.Errorf("made: %v", inv)
		}
		l.delete()
	})
}

// TestHundredMachinesFewCalls asserts that waiting is done by lists, not by a
// call for each machine.
func TestHundredMachinesFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		begin := time.Now()
		l.apply(`{kind: MCIS, name: shop, groups: [{name: n, cloud: gcp, regions: [east-1, west-1], count: 100}]}`)
		st := l.settled()
		if st.Phase != mcis.PhaseReady || st.Ready != 200 {
			t.Fatalf("phase %s, %d ready: %s", st.Phase, st.Ready, st.Reason)
		}
		c := l.world.Fake("gcp")
		t.Logf("ready after %s: %d creates, %d lists", time.Since(begin), c.Calls("create"), c.Calls("list"))
		if c.Calls("create") != 200 || c.Calls("list") > 30 {
			t.Errorf("%d creates, %d lists", c.Calls("create"), c.Calls("list"))
		}
		if n := node(st, "shop-n-west-1-100"); n.Region != "west-1" {
			t.Errorf("node %+v", n)
		}
		l.delete()
		t.Logf("%d deletes", c.Calls("delete"))
	})
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		slow := l.svc.Watch(t.Context(), "") // never read until the end
		ch := l.svc.Watch(t.Context(), "shop")
		var steps []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e := range ch {
				steps = append(steps, fmt.Sprintf("%s %s %s", e.Step, e.Node, e.Message))
				if e.Gone {
					return
				}
			}
		}()
		for range 4 {
			l.apply(hybrid)
			l.settled()
			l.delete()
		}
		<-done
		all := strings.Join(steps, "\n")
		for _, want := range []string{"network  ready", "vm shop-web-1 created", "join shop-db-2 ready after", "done  ready after", "delete shop-web-1 gone", "done  gone"} {
			if !strings.Contains(all, want) {
				t.Errorf("no event %q in\n%s", want, all)
			}
		}
		if len(slow) == 0 {
			t.Error("the slow one got nothing")
		}
	})
}
