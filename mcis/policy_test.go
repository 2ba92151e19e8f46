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
	"github.com/cbnet-io/cbnet/store/storetest"
)

func (l *lab) faults(name string, change func(f *mcistest.Faults)) { l.world.Fake(name).Lock(change) }

func (l *lab) vms() int {
	n := 0
	for _, line := range l.world.Inventory() {
		if strings.Contains(line, " vm ") {
			n++
		}
	}
	return n
}

func node(st mcis.Status, name string) mcis.NodeStatus {
	for _, n := range st.Nodes {
		if n.Name == name {
			return n
		}
	}
	return mcis.NodeStatus{}
}

func TestSilentMachineFailsByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.Dead = 1 })
		begin := time.Now()
		l.apply(hybrid)
		st := l.settled()
		if took := time.Since(begin); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("settled after %s", took)
		}
		if st.Phase != mcis.PhaseDegraded || st.Ready != 2 {
			t.Errorf("status %+v", st)
		}
		n := node(st, "shop-web-1")
		if n.Phase != mcis.NodeFailed || !strings.Contains(n.Reason, "did not join the mesh within 5m0s") || !strings.Contains(n.Console, "cannot reach the server") {
			t.Errorf("node %+v", n)
		}
		// Applied again, the failed ones are made anew and the others stay.
		l.faults("aws", func(f *mcistest.Faults) { f.Dead = 0 })
		plan, err := l.svc.Plan(t.Context(), l.spec(hybrid))
		if err != nil {
			t.Fatal(err)
		}
		if got := actions(plan); got["replace"] != 2 || got["keep"] != 2+2 {
			t.Errorf("plan %v", got)
		}
		before := node(st, "shop-db-1").ID
		l.apply(hybrid)
		st = l.settled()
		if st.Phase != mcis.PhaseReady || node(st, "shop-web-1").ID == n.ID || node(st, "shop-db-1").ID != before || l.vms() != 4 {
			t.Errorf("after the second apply: %+v\n%v", st, l.world.Inventory())
		}
		l.delete()
	})
}

func actions(p mcis.Plan) map[mcis.Action]int {
	out := make(map[mcis.Action]int)
	for _, s := range p.Steps {
		out[s.Action]++
	}
	return out
}

func TestLateMachineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.Boot = 4 * time.Minute })
		l.apply(hybrid)
		if st := l.settled(); st.Phase != mcis.PhaseDegraded {
			t.Errorf("status %+v", st)
		}
		time.Sleep(5 * time.Minute)
		if st := l.settled(); st.Phase != mcis.PhaseReady || st.Ready != 4 {
			t.Errorf("status after they joined late: %+v", st)
		}
		l.apply(hybrid)
		if st := l.settled(); st.Phase != mcis.PhaseReady || l.vms() != 4 {
			t.Errorf("status after another apply: %+v", st)
		}
		l.delete()
	})
}

func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.NoCapacity = true })
		l.apply(hybrid + "onFailure: rollback\n")
		st := l.settled()
		if st.Phase != mcis.PhaseFailed || !strings.Contains(st.Reason, "rolled back: shop-web-") || !strings.Contains(st.Reason, "no capacity") {
			t.Errorf("status %+v", st)
		}
		if inv := l.world.Inventory(); len(inv) > 0 {
			t.Errorf("left after rollback: %v", inv)
		}
		l.delete()
	})
}

func TestRollbackKeepsWhatWasThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid + "onFailure: rollback\n")
		before := l.settled()
		l.faults("aws", func(f *mcistest.Faults) { f.Quota = 2 })
		l.apply(strings.Replace(hybrid, "count: 2, spec", "count: 4, spec", 1) + "onFailure: rollback\n")
		st := l.settled()
		if st.Phase != mcis.PhaseFailed || st.Ready != 4 || l.vms() != 4 {
			t.Errorf("status %+v, %d machines", st, l.vms())
		}
		for _, n := range before.Nodes {
			if node(st, n.Name).ID != n.ID {
				t.Errorf("%s is another machine now", n.Name)
			}
		}
		l.delete()
	})
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.faults("aws", func(f *mcistest.Faults) { f.AsyncFail = 0.6 })
		l.opt.Replacements = 20
		l.stop()
		l.start()
		l.apply(strings.Replace(hybrid, "count: 2, spec", "count: 6, spec", 1) + "onFailure: replace\n")
		st := l.settled()
		if st.Phase != mcis.PhaseReady || st.Ready != 8 || l.vms() != 8 {
			t.Errorf("status %+v, %d machines", st, l.vms())
		}
		if n := l.world.Fake("aws").Calls("create"); n <= 6 {
			t.Errorf("%d create calls: nothing was replaced", n)
		}
		l.delete()
	})
}

func TestReplaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 3)
		l.faults("aws", func(f *mcistest.Faults) { f.AsyncFail = 1 })
		l.apply(hybrid + "onFailure: replace\n")
		st := l.settled()
		if st.Phase != mcis.PhaseDegraded || !strings.Contains(node(st, "shop-web-2").Reason, "no host was found") {
			t.Errorf("status %+v", st)
		}
		if n := l.world.Fake("aws").Calls("create"); n != 2*3 {
			t.Errorf("%d create calls, want 2 nodes with 1 try and 2 replacements each", n)
		}
		l.delete()
	})
}

func TestScaleAndMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		first := l.settled()
		small := strings.Replace(hybrid, "count: 2, spec", "count: 1, spec", 1)
		l.apply(small)
		st := l.settled()
		if st.Phase != mcis.PhaseReady || len(st.Nodes) != 3 || l.vms() != 3 || node(st, "shop-web-1").ID != node(first, "shop-web-1").ID {
			t.Errorf("after scaling down: %+v", st)
		}
		if m := l.world.Members(); len(m) != 3 {
			t.Errorf("members %v", m)
		}
		moved := strings.Replace(small, "cloud: aws, region: east-1", "cloud: gcp, region: west-1", 1)
		l.apply(moved)
		st = l.settled()
		if st.Phase != mcis.PhaseReady || node(st, "shop-web-1").Cloud != "gcp" || l.vms() != 3 {
			t.Errorf("after the move: %+v\n%v", st, l.world.Inventory())
		}
		if inv := l.world.Fake("aws").Inventory(); len(inv) > 0 {
			t.Errorf("left in aws: %v", inv)
		}
		l.delete()
	})
}

func TestSupersedeAndDeleteWhileApplying(t *testing.T) {
	for wait := range 12 {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, uint64(wait))
			one := l.apply(hybrid)
			time.Sleep(time.Duration(wait) * 700 * time.Millisecond)
			if again := l.apply(hybrid); again.Run != one.Run && !again.Phase.Settled() && wait < 5 {
				t.Errorf("the same spec began run %d beside run %d", again.Run, one.Run)
			}
			two := l.apply(strings.Replace(hybrid, "count: 2, publicIp", "count: 3, publicIp", 1))
			if two.Run <= one.Run {
				t.Errorf("a changed spec has run %d after %d", two.Run, one.Run)
			}
			time.Sleep(time.Duration(wait) * 300 * time.Millisecond)
			if wait%2 == 0 {
				st := l.settled()
				if st.Phase != mcis.PhaseReady || st.Ready != 5 || l.vms() != 5 {
					t.Errorf("superseded after %d: %+v", wait, st)
				}
			}
			l.delete()
		})
	}
}

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

// TestCrashWhileReplacing is the crash test for runs in which machines fail:
// generations are raised, and old machines go before new ones come.
func TestCrashWhileReplacing(t *testing.T) {
	for at := 1; ; at++ {
		over := false
		c := &crash{at: at, late: 3 * time.Second}
		synctest.Test(t, func(t *testing.T) {
			r := newRuin(t, uint64(at))
			broken := func(p float64) {
				r.world.Fake("aws").Lock(func(f *mcistest.Faults) { f.AsyncFail = p })
			}
			replace := func(svc *mcis.Service) {
				spec := (&lab{t: t, svc: svc}).specQuiet(hybrid + "onFailure: replace\n")
				if spec.Name != "" {
					_, _ = svc.Apply(t.Context(), spec) // dead, or accepted
				}
			}
			isSettled := func(svc *mcis.Service) bool {
				st, err := svc.Status(t.Context(), "shop")
				return err == nil && st.Phase.Settled()
			}
			broken(0.5)
			over = r.live(c, replace, isSettled)
			broken(0)
			r.must(replace, isReady)
			r.checkReady()
			r.must(doDelete, isGone)
			r.checkEmpty()
		})
		if t.Failed() {
			t.Fatalf("at point %d: %s", at, c.last)
		}
		if over && at > 60 {
			t.Logf("%d points", at-1)
			return
		}
	}
}

var _ mcis.Store = (*storetest.Memory)(nil)
