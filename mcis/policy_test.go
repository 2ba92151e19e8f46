package mcis_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
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
	waits(t)
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
	waits(t)
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

// TestPortsOfFailedCreatesGo asserts that what a failed create left goes before
// its successor comes, also where it bears no node's name.
func TestPortsOfFailedCreatesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.Ports, f.NoCapacity = true, true })
		l.apply(hybrid + "onFailure: replace\n")
		st := l.settled()
		ports := 0
		for _, line := range l.world.Inventory() {
			if strings.Contains(line, " port ") {
				ports++
			}
		}
		if st.Phase != mcis.PhaseDegraded || ports != 2 {
			t.Errorf("%d ports, want one of each present machine: %+v\n%s", ports, st, strings.Join(l.world.Inventory(), "\n"))
		}
		l.faults("aws", func(f *mcistest.Faults) { f.NoCapacity = false })
		l.apply(hybrid)
		if st := l.settled(); st.Phase != mcis.PhaseReady {
			t.Errorf("status %+v", st)
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

// TestCrashWhileReplacing is the crash test for runs in which machines fail:
// generations are raised, and old machines go before new ones come.
func TestCrashWhileReplacing(t *testing.T) {
	for at := 1; ; at += stride() {
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
