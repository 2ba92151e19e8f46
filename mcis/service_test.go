package mcis_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/store/storetest"
)

// hybrid is two machines on aws and two on the private cloud.
const hybrid = `kind: MCIS
name: shop
network: {cidr: 10.66.8.0/24}
groups:
  - {name: web, cloud: aws, region: east-1, count: 2, spec: {vcpu: 2, memory: 4GiB}, labels: {tier: web}}
  - {name: db, cloud: private, count: 2, publicIp: false}
`

// lab is a service over a world, in a synctest bubble.
type lab struct {
	t     *testing.T
	world *mcistest.World
	store *storetest.Memory
	opt   mcis.Options
	svc   *mcis.Service
	stop  func()
}

// waits leaves a test that only waits for a deadline, list after list, to the tests
// that are not short.
func waits(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("waits for a deadline: go test without -short")
	}
}

func newLab(t *testing.T, seed uint64) *lab {
	l := &lab{t: t, world: mcistest.New(seed, "aws", "gcp", "private"), store: &storetest.Memory{}}
	l.start()
	return l
}

// start runs a new service over the same store and world.
func (l *lab) start() {
	l.t.Helper()
	l.svc = newService(l.t, l.store, l.world, l.opt)
	l.stop = runService(l.t, l.svc)
	l.t.Cleanup(l.stop)
}

func deps(s mcis.Store, w *mcistest.World, opt mcis.Options) mcis.Deps {
	return mcis.Deps{
		Store: s, Clouds: w, Enroller: w, Members: w, Options: opt,
		Mesh:   mcis.Mesh{UID: "meshuid", CIDR: netip.MustParsePrefix("10.66.0.0/16")},
		Daemon: mcis.Daemon{URL: "https://198.18.0.1:7443/v1/download/cbnetd-linux-amd64", SHA256: strings.Repeat("ab", 32)},
	}
}

func newService(t *testing.T, s mcis.Store, w *mcistest.World, opt mcis.Options) *mcis.Service {
	t.Helper()
	svc, err := mcis.New(deps(s, w, opt))
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// runService runs svc until the returned function is called, which waits for
// its end.
func runService(t *testing.T, svc *mcis.Service) func() {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	var once bool
	return func() {
		cancel()
		if !once {
			once = true
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}
}

func (l *lab) spec(text string) mcis.Spec {
	l.t.Helper()
	specs, err := l.svc.Parse(l.t.Context(), "spec.yaml", []byte(text))
	if err != nil {
		l.t.Fatalf("parse:\n%v", err)
	}
	return specs[0]
}

func (l *lab) apply(text string) mcis.Status {
	l.t.Helper()
	st, err := l.svc.Apply(l.t.Context(), l.spec(text))
	if err != nil {
		l.t.Fatalf("apply: %v", err)
	}
	return st
}

// settled waits until no run of shop is under way.
func (l *lab) settled() mcis.Status {
	l.t.Helper()
	st, ok := settled(l.t, l.svc, 30*time.Minute)
	if !ok {
		l.t.Fatalf("not settled: %+v\n%s", st, strings.Join(l.world.Inventory(), "\n"))
	}
	return st
}

func settled(t *testing.T, svc *mcis.Service, limit time.Duration) (mcis.Status, bool) {
	for end := time.Now().Add(limit); ; {
		st, err := svc.Status(t.Context(), "shop")
		if err == nil && st.Phase.Settled() || time.Now().After(end) {
			return st, err == nil && st.Phase.Settled()
		}
		time.Sleep(100 * time.Millisecond) // virtual time
	}
}

func (l *lab) delete() {
	l.t.Helper()
	if _, err := l.svc.Delete(l.t.Context(), "shop"); err != nil {
		l.t.Fatalf("delete: %v", err)
	}
	if st, ok := gone(l.t, l.svc, 30*time.Minute); !ok {
		l.t.Fatalf("not deleted: %+v\n%s", st, strings.Join(l.world.Inventory(), "\n"))
	}
	l.empty()
}

func gone(t *testing.T, svc *mcis.Service, limit time.Duration) (mcis.Status, bool) {
	for end := time.Now().Add(limit); ; {
		st, err := svc.Status(t.Context(), "shop")
		if err != nil {
			return st, strings.Contains(err.Error(), "not found")
		}
		if time.Now().After(end) {
			return st, false
		}
		time.Sleep(100 * time.Millisecond) // virtual time
	}
}

// empty asserts that nothing is left anywhere.
func (l *lab) empty() {
	l.t.Helper()
	if inv := l.world.Inventory(); len(inv) > 0 {
		l.t.Errorf("orphans:\n%s", strings.Join(inv, "\n"))
	}
	if keys := l.store.Keys(); len(keys) > 0 {
		l.t.Errorf("keys left in the store:\n%s", strings.Join(keys, "\n"))
	}
	if m := l.world.Members(); len(m) > 0 {
		l.t.Errorf("nodes not closed: %v", m)
	}
	if wrong := l.world.Wrong(); len(wrong) > 0 {
		l.t.Errorf("breaches: %v", wrong)
	}
}

func nodeNames(st mcis.Status) []string {
	var out []string
	for _, n := range st.Nodes {
		out = append(out, n.Name)
	}
	return out
}

func TestApplyAndDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, 1)
		begin := time.Now()
		st := l.apply(hybrid)
		if st.Phase != mcis.PhasePlanning || st.Desired != 4 {
			t.Errorf("after apply: %+v", st)
		}
		st = l.settled()
		if st.Phase != mcis.PhaseReady || st.Ready != 4 {
			t.Fatalf("status: %+v", st)
		}
		t.Logf("ready after %s", time.Since(begin))
		want := []string{"shop-db-1", "shop-db-2", "shop-web-1", "shop-web-2"}
		if got := nodeNames(st); !slices.Equal(got, want) {
			t.Errorf("nodes %v, want %v", got, want)
		}
		for _, n := range st.Nodes {
			if n.ID == "" || !n.IP.IsValid() || !n.PrivateIP.IsValid() || n.PublicIP.IsValid() != (n.Group == "web") || n.CostPerHour == nil {
				t.Errorf("node is incomplete: %+v", n)
			}
		}
		begin = time.Now()
		l.delete()
		t.Logf("gone after %s", time.Since(begin))
	})
}
