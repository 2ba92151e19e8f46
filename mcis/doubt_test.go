package mcis_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
)

// TestDeleteBeforeListsShow deletes a machine that no list has shown yet: its
// recorded id is all that is known of it.
func TestDeleteBeforeListsShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.ListLag = time.Hour })
		l.apply(hybrid)
		if st := l.settled(); st.Phase != mcis.PhaseReady {
			t.Fatalf("status %+v", st)
		}
		if _, err := l.svc.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		gone(t, l.svc, 10*time.Minute)
		for _, line := range l.world.Fake("aws").Inventory() {
			if strings.HasPrefix(line, "vm ") {
				t.Errorf("left running: %s", line)
			}
		}
	})
}

// TestReplaceBeforeListsShow is the same for a machine that a new generation
// takes the place of.
func TestReplaceBeforeListsShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("aws", func(f *mcistest.Faults) { f.ListLag = time.Hour })
		l.apply(hybrid)
		l.settled()
		l.apply(strings.Replace(hybrid, "vcpu: 2, memory: 4GiB", "vcpu: 1", 1))
		if st := l.settled(); st.Phase != mcis.PhaseReady || l.vms() != 4 {
			t.Errorf("%d machines: %+v\n%s", l.vms(), st, strings.Join(l.world.Inventory(), "\n"))
		}
	})
}

// TestScaleUpAgain asserts that a node that comes back is another machine than
// the one it was: the cloud remembers the token of that for a day.
func TestScaleUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		for _, count := range []string{"count: 1, spec", "count: 3, spec", "count: 0, spec", "count: 3, spec"} {
			l.settled()
			l.apply(strings.Replace(hybrid, "count: 2, spec", count, 1))
		}
		if st := l.settled(); st.Phase != mcis.PhaseReady || l.vms() != 5 {
			t.Errorf("%d machines: %+v", l.vms(), st)
		}
		l.delete()
	})
}

// TestFailedTwin asserts that a second machine of the same token, which a cloud
// without tokens makes and fails when creates race, does no harm to the first.
func TestFailedTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		before := node(l.settled(), "shop-web-1").ID
		l.world.Fake("aws").Twin("shop-web-1")
		l.apply(strings.Replace(hybrid, "count: 2, spec", "count: 3, spec", 1))
		st := l.settled()
		if n := node(st, "shop-web-1"); st.Phase != mcis.PhaseReady || n.ID != before || l.vms() != 5 {
			t.Errorf("%d machines, node %+v, status %+v", l.vms(), n, st)
		}
		l.delete()
	})
}

// TestRollbackProvesTheNetworkGone rolls back while the create of a network is
// on its way: an empty list at that moment proves nothing.
func TestRollbackProvesTheNetworkGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.faults("private", func(f *mcistest.Faults) { f.NoCapacity = true })
		l.faults("aws", func(f *mcistest.Faults) {
			first := true
			f.OnCall = func(op string, done bool) (time.Duration, error) {
				if op != "ensure network" || done || !first {
					return 0, nil
				}
				first = false
				return 4 * time.Second, &cloud.APIError{Op: op, Class: cloud.ErrUnavailable, After: time.Minute}
			}
		})
		l.apply(hybrid + "onFailure: rollback\n")
		if st := l.settled(); st.Phase != mcis.PhaseFailed {
			t.Errorf("status %+v", st)
		}
		time.Sleep(time.Minute)
		if inv := l.world.Inventory(); len(inv) > 0 {
			t.Errorf("left after rollback: %v", inv)
		}
		l.delete()
	})
}

// TestEmptyingAPlaceEnds asserts that an apply ends degraded, with the reason,
// when a cloud does not let go of a place that is no longer wanted.
func TestEmptyingAPlaceEnds(t *testing.T) {
	waits(t)
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		l.settled()
		l.faults("aws", func(f *mcistest.Faults) {
			f.OnCall = func(op string, done bool) (time.Duration, error) {
				if op == "delete" && !done {
					return 0, &cloud.APIError{Op: op, Code: "Refused", Class: cloud.ErrAuth}
				}
				return 0, nil
			}
		})
		l.apply(strings.Replace(hybrid, "count: 2, spec", "count: 0, spec", 1))
		st := l.settled()
		if st.Phase != mcis.PhaseDegraded || !strings.Contains(st.Reason, "Refused") {
			t.Errorf("status %+v", st)
		}
		l.faults("aws", func(f *mcistest.Faults) { f.OnCall = nil })
		l.apply(strings.Replace(hybrid, "count: 2, spec", "count: 0, spec", 1))
		if st := l.settled(); st.Phase != mcis.PhaseReady || len(l.world.Fake("aws").Inventory()) > 0 {
			t.Errorf("status %+v\n%v", st, l.world.Inventory())
		}
		l.delete()
	})
}

// TestApplyEndsWithoutLists asserts that an apply ends by the deadline when the
// lists of a cloud never come.
func TestApplyEndsWithoutLists(t *testing.T) {
	waits(t)
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.apply(hybrid)
		l.settled()
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = true })
		for _, count := range []string{"count: 1, spec", "count: 0, spec"} {
			l.apply(strings.Replace(hybrid, "count: 2, spec", count, 1))
			if st := l.settled(); st.Phase != mcis.PhaseDegraded || !strings.Contains(st.Reason, "list aws/east-1") {
				t.Errorf("%s: status %+v", count, st)
			}
		}
		l.faults("aws", func(f *mcistest.Faults) { f.Unreachable = false })
		l.delete()
	})
}

// renewed is a world in which the credentials of aws have expired until
// somebody adds the account again.
type renewed struct {
	*mcistest.World
	expired, added atomic.Bool
}

func (w *renewed) Cloud(ctx context.Context, name string) (mcis.Cloud, error) {
	c, err := w.World.Cloud(ctx, name)
	if name == "aws" && !w.added.Load() {
		c.Driver = expiring{w.Fake(name), w}
	}
	return c, err
}

// expiring is the driver that was made from the old credentials.
type expiring struct {
	*mcistest.Cloud
	w *renewed
}

func (d expiring) err() error {
	if d.w.expired.Load() {
		return &cloud.APIError{Op: "call", Code: "ExpiredToken", Class: cloud.ErrAuth}
	}
	return nil
}

func (d expiring) List(ctx context.Context, region string, o cloud.Owner) ([]cloud.Resource, error) {
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.Cloud.List(ctx, region, o)
}

func (d expiring) Delete(ctx context.Context, res cloud.Resource) error {
	if err := d.err(); err != nil {
		return err
	}
	return d.Cloud.Delete(ctx, res)
}

// TestNewCredentialsReachARunningDelete asserts that a delete that waits for
// credentials goes on when the account is added again.
func TestNewCredentialsReachARunningDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.stop()
		w := &renewed{World: l.world}
		d := deps(l.store, l.world, mcis.Options{})
		d.Clouds = w
		svc, err := mcis.New(d)
		if err != nil {
			t.Fatal(err)
		}
		l.svc = svc
		t.Cleanup(runService(t, svc))
		l.apply(hybrid)
		l.settled()
		w.expired.Store(true)
		if _, err := svc.Delete(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if st, err := svc.Status(t.Context(), "shop"); err != nil || !strings.Contains(st.Reason, "ExpiredToken") {
			t.Errorf("status %+v, %v", st, err)
		}
		w.added.Store(true)
		if st, ok := gone(t, svc, 5*time.Minute); !ok {
			t.Errorf("not deleted: %+v", st)
		}
	})
}

// TestTwoNamesOfOneAccount asserts that two names of the same account do not
// take each other's machines for leftovers.
func TestTwoNamesOfOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		l.world.Alias("aws2", "aws")
		both := hybrid + "  - {name: api, cloud: aws2, region: east-1, count: 1}\n"
		l.apply(both)
		st := l.settled()
		vms := func() int { return strings.Count(strings.Join(l.world.Fake("aws").Inventory(), "\n"), "vm ") }
		if st.Phase != mcis.PhaseReady || vms() != 3 {
			t.Fatalf("status %+v\n%v", st, l.world.Inventory())
		}
		before := node(st, "shop-api-1").ID
		l.apply(strings.Replace(both, "count: 2, spec", "count: 0, spec", 1))
		st = l.settled()
		if n := node(st, "shop-api-1"); st.Phase != mcis.PhaseReady || n.ID != before || len(l.world.Fake("aws").Inventory()) != 4 {
			t.Errorf("node %+v, status %+v\n%s", n, st, strings.Join(l.world.Inventory(), "\n"))
		}
		// And from one name to the other.
		l.apply(strings.Replace(hybrid, "cloud: aws,", "cloud: aws2,", 1))
		if st := l.settled(); st.Phase != mcis.PhaseReady || vms() != 2 {
			t.Errorf("status %+v\n%v", st, l.world.Inventory())
		}
		l.apply(hybrid)
		if st := l.settled(); st.Phase != mcis.PhaseReady || vms() != 2 {
			t.Errorf("status %+v\n%v", st, l.world.Inventory())
		}
		l.delete()
		if inv := l.world.Inventory(); len(inv) > 0 {
			t.Errorf("left: %v", inv)
		}
	})
}
