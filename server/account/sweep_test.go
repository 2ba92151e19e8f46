package account_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server/account"
)

var prefix = netip.MustParsePrefix("10.7.0.0/24")

// sshKey is the public half of a key that nobody has.
const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

const (
	lost = "feedfacefeedface" // uid of an MCIS that nobody knows
	shop = "0123456789abcdef" // uid of one that is known
)

// known is the owners of a server that knows shop.
func known(context.Context) (mcis.Owners, error) {
	return mcis.NewOwners(map[string]string{shop: "shop"}), nil
}

// outcomes returns how many orphans came to what.
func outcomes(s account.Swept) map[string]int {
	out := make(map[string]int)
	for _, o := range s.Orphans {
		out[o.Outcome]++
	}
	return out
}

func machines(c *mcistest.Cloud) int {
	n := 0
	for _, line := range c.Inventory() {
		if strings.HasPrefix(line, "vm ") {
			n++
		}
	}
	return n
}

func TestDryRunDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		orphan(t, c, "east-1", lost, 2)
		orphan(t, c, "west-1", shop, 1)
		time.Sleep(time.Minute)
		before := c.Inventory()
		got, err := a.Sweep(t.Context(), account.Sweep{Owners: known, DryRun: true, Grace: time.Minute})
		if err != nil || !got.OK() {
			t.Errorf("%+v, %v", got, err)
		}
		if d := cmp.Diff(map[string]int{account.Found: 5}, outcomes(got)); d != "" {
			t.Errorf("orphans (-want +got):\n%s", d)
		}
		for _, o := range got.Orphans {
			if o.Region != "east-1" || o.Owner.MCIS != lost || o.Why != "" {
				t.Errorf("%s %s in %s of %s: %s", o.Kind, o.ID, o.Region, o.Owner.MCIS, o.Why)
			}
		}
		if got.Orphans[0].Kind != cloud.KindVM || got.Orphans[0].Labels["팀"] != "인프라" {
			t.Errorf("the first to go: %+v", got.Orphans[0])
		}
		if d := cmp.Diff(before, c.Inventory()); d != "" {
			t.Errorf("the cloud changed:\n%s", d)
		}
	})
}

// TestSweep: orphans in two regions, with all kinds of parts, go in order; what
// has an owner stays; steps are told.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		c.Traits = mcistest.Traits{NAT: "Cloud NAT", Pairs: true, Groups: true}
		c.Faults.Throttle, c.Faults.ListLag = 0, time.Second
		orphan(t, c, "east-1", lost, 3)
		orphan(t, c, "west-1", lost, 1)
		orphan(t, c, "west-1", shop, 1)
		time.Sleep(time.Minute)
		keep := slices.DeleteFunc(c.Inventory(), func(line string) bool { return strings.Contains(line, lost) })
		var steps []string
		got, err := a.Sweep(t.Context(), account.Sweep{Owners: known, Grace: time.Minute, Report: func(s account.Step) {
			steps = append(steps, s.Verb)
			if s.Resource != nil && s.Resource.Owner.MCIS != lost {
				t.Errorf("%s %s of %s", s.Verb, s.Resource.ID, s.Resource.Owner.MCIS)
			}
		}})
		if err != nil || !got.OK() {
			t.Errorf("%+v, %v", got, err)
		}
		const all = 3 + 6 + 1 + 6
		if d := cmp.Diff(map[string]int{account.Gone: all}, outcomes(got)); d != "" {
			t.Errorf("orphans (-want +got):\n%s", d)
		}
		if d := cmp.Diff(keep, c.Inventory()); d != "" {
			t.Errorf("what stays (-want +got):\n%s", d)
		}
		for _, verb := range []string{"found", "delete", "gone"} {
			if n := len(steps) - len(slices.DeleteFunc(slices.Clone(steps), func(s string) bool { return s == verb })); n != all {
				t.Errorf("%d steps %q, want %d", n, verb, all)
			}
		}
		// One call for each object: nothing is asked for while it is in use.
		if n := c.Calls("delete"); n != all {
			t.Errorf("%d delete calls for %d objects", n, all)
		}
	})
}

func TestSweepOfBadClouds(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := mcistest.New(seed, "main")
			c := w.Fake("main")
			c.Traits = mcistest.Traits{NAT: "Cloud NAT", Pairs: true, Groups: true}
			orphan(t, c, "east-1", lost, 5)
			orphan(t, c, "west-1", shop, 1)
			time.Sleep(time.Minute)
			c.Lock(func(f *mcistest.Faults) { f.Throttle, f.Drop, f.Latency = 0.3, 0.3, 300*time.Millisecond })
			a := account.Account{Name: "main", Driver: c, Mesh: "meshuid"}
			got, err := a.Sweep(t.Context(), account.Sweep{Owners: known})
			if err != nil || !got.OK() || outcomes(got)[account.Gone] != 11 || machines(c) != 1 {
				t.Errorf("seed %d: %+v, %v", seed, got, err)
			}
		})
	}
}

// TestSweepWaitsForTheYoung: what may be a create in flight is left alone until
// it is old enough, in a dry run with the reason.
func TestSweepWaitsForTheYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		c.Faults.Latency = 0
		begin := time.Now()
		orphan(t, c, "east-1", lost, 1)
		orphan(t, c, "west-1", lost, 1) // one MCIS: the youngest of its machines decides
		time.Sleep(10 * time.Second)
		dry, err := a.Sweep(t.Context(), account.Sweep{Owners: known, Grace: time.Minute, DryRun: true})
		if err != nil || len(dry.Orphans) != 8 {
			t.Fatalf("%+v, %v", dry, err)
		}
		for _, o := range dry.Orphans {
			if o.Why != "younger than 1m0s, for 50s more: its create may be under way" {
				t.Errorf("%s: %q", o.Kind, o.Why)
			}
		}
		got, err := a.Sweep(t.Context(), account.Sweep{Owners: known, Grace: time.Minute, Report: func(s account.Step) {
			if s.Verb == "delete" && time.Since(begin) < time.Minute {
				t.Errorf("%s is deleted after %s", s.Resource.ID, time.Since(begin))
			}
		}})
		if err != nil || !got.OK() || outcomes(got)[account.Gone] != 8 {
			t.Errorf("%+v, %v", got, err)
		}
		if took := time.Since(begin); took > 80*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestSweepWithoutAnAnswer: a region that fails hides nothing of the others, and
// one that recovers is swept.
func TestSweepWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		orphan(t, c, "east-1", lost, 1)
		orphan(t, c, "west-1", lost, 1)
		orphan(t, c, "RegionOne", lost, 1)
		auth := &cloud.APIError{Provider: "fake", Op: "List", Code: "OptInRequired", Class: cloud.ErrAuth}
		c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"east-1": auth, "west-1": cloud.ErrUnavailable} })
		for _, dry := range []bool{true, false} {
			if !dry {
				go func() {
					time.Sleep(20 * time.Second)
					c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"east-1": auth} })
				}()
			}
			got, err := a.Sweep(t.Context(), account.Sweep{Owners: known, DryRun: dry})
			var failed []string
			for _, e := range got.Failed {
				failed = append(failed, e.Error())
			}
			want, n := []string{"cloud main, region east-1, inventory: fake List: OptInRequired"}, map[string]int{account.Gone: 8}
			if dry {
				want, n = append(want, "cloud main, region west-1, inventory: unavailable"), map[string]int{account.Found: 4}
			}
			if err != nil || got.OK() || !slices.Equal(failed, want) || cmp.Diff(n, outcomes(got)) != "" {
				t.Errorf("dry %t: %v, failed %q, %v", dry, outcomes(got), failed, err)
			}
		}
		if machines(c) != 1 {
			t.Errorf("left: %v", c.Inventory())
		}
	})
}

// TestSweepThatCannot: what the cloud refuses to delete is left with the reason,
// ends the wait, and holds up nothing that does not hang on it.
func TestSweepThatCannot(t *testing.T) {
	refusing := func(c *mcistest.Cloud, call int) {
		n := 0
		c.Lock(func(f *mcistest.Faults) {
			f.OnCall = func(op string, done bool) (time.Duration, error) {
				if op != "delete" || done {
					return 0, nil
				}
				if n++; n >= call {
					return 0, &cloud.APIError{Provider: "fake", Op: "Delete", Code: "UnauthorizedOperation", Class: cloud.ErrAuth}
				}
				return 0, nil
			}
		})
	}
	for _, tt := range []struct {
		name string
		call int
		want map[string]int
	}{
		{"from the machines on", 1, map[string]int{account.Left: 5}},
		{"from the network on", 3, map[string]int{account.Gone: 2, account.Left: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, c := newAccount()
				orphan(t, c, "east-1", lost, 2)
				refusing(c, tt.call)
				begin := time.Now()
				got, err := a.Sweep(t.Context(), account.Sweep{Owners: known})
				if err != nil || got.OK() || time.Since(begin) > time.Minute {
					t.Errorf("after %s: %v", time.Since(begin), err)
				}
				if d := cmp.Diff(tt.want, outcomes(got)); d != "" {
					t.Errorf("outcomes (-want +got):\n%s", d)
				}
				if o := got.Orphans[len(got.Orphans)-1]; tt.call == 3 && o.Why != "fake Delete: UnauthorizedOperation" {
					t.Errorf("why: %q", o.Why)
				}
			})
		})
	}
}

// TestSweepOfARegionThatIsLost: one that answers and then refuses for good ends
// the wait for what it holds.
func TestSweepOfARegionThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		c.Faults.Shutdown = time.Hour
		orphan(t, c, "east-1", lost, 1)
		auth := &cloud.APIError{Provider: "fake", Op: "List", Code: "OptInRequired", Class: cloud.ErrAuth}
		time.AfterFunc(20*time.Second, func() { c.Lock(func(f *mcistest.Faults) { f.Broken = map[string]error{"east-1": auth} }) })
		begin := time.Now()
		got, err := a.Sweep(t.Context(), account.Sweep{Owners: known})
		if took := time.Since(begin); err != nil || got.OK() || took > 30*time.Second {
			t.Errorf("%+v after %s, %v", got, took, err)
		}
		for _, o := range got.Orphans {
			if o.Outcome != account.Left || o.Why != "fake List: OptInRequired" {
				t.Errorf("%s: %s, %q", o.Kind, o.Outcome, o.Why)
			}
		}
	})
}

// TestSweepEnds: by its time-out and by its caller.
func TestSweepEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(ctx context.Context, s *account.Sweep) context.Context
		why  string
	}{
		{"time-out", func(ctx context.Context, s *account.Sweep) context.Context {
			s.Timeout = 30 * time.Second
			return ctx
		}, "given up by the deadline"},
		{"caller", func(ctx context.Context, _ *account.Sweep) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(30*time.Second, cancel)
			return ctx
		}, "interrupted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, c := newAccount()
				c.Faults.Shutdown = time.Hour
				orphan(t, c, "east-1", lost, 1)
				s := account.Sweep{Owners: known}
				begin := time.Now()
				got, err := a.Sweep(tt.end(t.Context(), &s), s)
				if took := time.Since(begin); err != nil || got.OK() || took != 30*time.Second {
					t.Errorf("%+v after %s, %v", got, took, err)
				}
				for _, o := range got.Orphans {
					if o.Outcome != account.Left || o.Why != tt.why {
						t.Errorf("%s: %s, %q", o.Kind, o.Outcome, o.Why)
					}
				}
			})
		})
	}
	t.Run("before any answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAccount()
			c.Faults.Latency = time.Minute
			got, err := a.Sweep(t.Context(), account.Sweep{Owners: known, Timeout: 5 * time.Second})
			if err != nil || got.OK() || len(got.Failed) != 3 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	})
	t.Run("owners unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAccount()
			orphan(t, c, "east-1", lost, 1)
			_, err := a.Sweep(t.Context(), account.Sweep{Owners: func(context.Context) (mcis.Owners, error) { return mcis.Owners{}, errors.New("the store is away") }})
			if err == nil || !strings.Contains(err.Error(), "the store is away") || len(c.Inventory()) != 4 {
				t.Errorf("%v: %v", err, c.Inventory())
			}
		})
	})
}

// starting is a driver in whose first list an MCIS begins: in the store first,
// and then in the cloud.
type starting struct {
	*mcistest.Cloud
	begin func()
}

func (d starting) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	d.begin()
	return d.Cloud.List(ctx, region, owner)
}

// TestSweepAsksTheCloudFirst: an MCIS that begins while lists are under way is
// no orphan.
func TestSweepAsksTheCloudFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAccount()
		c.Faults.Latency = 0 // nothing sleeps while it holds once
		names := make(map[string]string)
		var once sync.Once
		a.Driver = starting{c, func() {
			once.Do(func() {
				names["new"] = "new"
				orphan(t, c, "west-1", "new", 1)
			})
		}}
		got, err := a.Sweep(t.Context(), account.Sweep{Owners: func(context.Context) (mcis.Owners, error) {
			return mcis.NewOwners(maps.Clone(names)), nil
		}})
		if err != nil || len(got.Orphans) != 0 || machines(c) != 1 {
			t.Errorf("%+v, %v\n%v", got, err, c.Inventory())
		}
	})
}
