package scale_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

const (
	mesh   = "scale-mesh"
	budget = 6.0 // calls for a machine's creation and deletion
)

// TestHundred creates a hundred machines in a hundred regions (or in those there
// are) and deletes them, while a tenth of the calls is throttled and every
// fiftieth answer to a change lost. All must be there, none twice, and nothing
// be left; with -short it is a fifth of them.
func TestHundred(t *testing.T) {
	count, boot, tick := 100, 2*time.Second, time.Second
	if testing.Short() {
		count, boot, tick = 20, 500*time.Millisecond, 250*time.Millisecond
	}
	s := start(t, boot)
	s.tick = tick
	places := s.places(count)
	if len(places) == 0 {
		t.Fatal("no region")
	}
	floor := s.floor(places)

	s.faults(map[string]any{"throttle": 0.1, "dropAfterCommit": 0.02})
	var regions []*region
	for i, p := range places {
		regions = append(regions, &region{sim: s, place: p, owner: cloud.Owner{Mesh: mesh, MCIS: "hundred"}, first: i, step: len(places), total: count})
	}
	s.calls.reset()
	begin := time.Now()
	all(t, regions, (*region).create)
	created := time.Since(begin)
	s.present(count)
	begin = time.Now()
	all(t, regions, (*region).clear)
	deleted := time.Since(begin)
	s.faults(map[string]any{})
	s.absent()

	perVM := float64(s.calls.of(phaseVM)) / float64(count)
	t.Logf("SIMULATED: %d machines in %d regions of %d clouds, 10 %% of the calls throttled, 2 %% of the answers lost", count, len(places), len(s.clouds))
	t.Logf("created in %s: %s over the slowest machine's own floor of %s; deleted in %s",
		round(created), round(created-floor), round(floor), round(deleted))
	t.Logf("calls: %.1f a machine to create and delete it, %.1f a region for its network and catalogue, %.1f a region for %.1f lists",
		perVM, s.calls.perRegion(phaseSetUp, len(places)), s.calls.perRegion(phaseWait, len(places)), float64(s.lists.Load())/float64(len(places)))
	for _, name := range slices.Sorted(maps.Keys(s.clouds)) {
		t.Logf("  %-9s %s", name, s.calls.cloud(name))
	}
	most := budget
	if testing.Short() {
		most++ // of so few, chance refuses many at times
	}
	if perVM > most {
		t.Errorf("%.1f calls a machine, want at most %.0f", perVM, most)
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// all does something in every region at once.
func all(t *testing.T, regions []*region, do func(*region, context.Context) error) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	for _, r := range regions {
		g.Go(func() error { return do(r, ctx) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// region is one network and its machines: every step-th of total from first.
type region struct {
	*sim
	place
	owner              cloud.Owner
	first, step, total int
}

func (r *region) context(ctx context.Context, p phase) context.Context {
	return context.WithValue(ctx, phaseKey{}, p)
}

// create makes the network and the machines and waits until all run.
func (r *region) create(ctx context.Context) error {
	var net cloud.Network
	spec := cloud.NetworkSpec{
		Owner: r.owner, Region: r.name, Name: "cbnet-" + r.owner.MCIS, CIDR: cidr, Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
	}
	err := r.insist(func() (err error) {
		net, err = r.driver.EnsureNetwork(r.context(ctx, phaseSetUp), spec)
		return err
	})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	n := 0
	for i := r.first; i < r.total; i += r.step {
		vm := r.machine(net, i, n)
		g.Go(func() error {
			return r.insist(func() error {
				_, err := r.driver.CreateVM(r.context(gctx, phaseVM), vm)
				return err
			})
		})
		n++
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.until(ctx, func(res []cloud.Resource) (bool, error) {
		running := 0
		for _, v := range res {
			if v.VM != nil && v.VM.State == cloud.VMFailed {
				return false, fmt.Errorf("%s in %s failed: %s", v.Name, r.place, v.VM.Reason)
			}
			if v.VM != nil && v.VM.State == cloud.VMRunning {
				running++
			}
		}
		return running == n, nil
	})
}

// machine describes the n-th machine of the region, the i-th of all.
func (r *region) machine(net cloud.Network, i, n int) cloud.VMSpec {
	ip, _ := cloud.VMAddr(cidr, n)
	name := fmt.Sprintf("%s-%d", r.owner.MCIS, i)
	return cloud.VMSpec{
		Owner: r.owner, Region: r.name, Name: name, Node: name, Token: name + "-create-1", Network: net, PrivateIP: ip,
		Spec: r.spec, Image: r.image, UserData: []byte("#!/bin/sh\n"), PublicIP: true,
	}
}

// clear deletes the machines, then the rest.
func (r *region) clear(ctx context.Context) error {
	return r.until(ctx, func(res []cloud.Resource) (bool, error) {
		for _, v := range cloud.DeleteOrder(res) {
			p := phaseSetUp
			if v.Kind == cloud.KindVM {
				p = phaseVM
			} else if hasVM(res) {
				break
			}
			if v.VM != nil && v.VM.State == cloud.VMDeleting {
				continue
			}
			err := r.insist(func() error { return r.driver.Delete(r.context(ctx, p), v) })
			if err != nil && !errors.Is(err, cloud.ErrInUse) {
				return false, err
			}
		}
		return len(res) == 0, nil
	})
}

func hasVM(res []cloud.Resource) bool {
	return slices.ContainsFunc(res, func(v cloud.Resource) bool { return v.Kind == cloud.KindVM })
}

// insist makes a call again for as long as its answer says that it may be, as
// mcis does.
func (r *region) insist(do func() error) error {
	for {
		if err := do(); !cloud.Retryable(err) {
			return err
		}
	}
}

// until lists the region once a tick until check is content.
func (r *region) until(ctx context.Context, check func([]cloud.Resource) (bool, error)) error {
	every := time.NewTicker(r.tick)
	defer every.Stop()
	for {
		var res []cloud.Resource
		err := r.insist(func() (err error) {
			r.lists.Add(1)
			res, err = r.driver.List(r.context(ctx, phaseWait), r.name, r.owner)
			return err
		})
		if err != nil {
			return err
		}
		done, err := check(res)
		if done || err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// floor returns how long one machine takes by itself, with its network, in the
// slowest cloud: nothing can be faster.
func (s *sim) floor(places []place) time.Duration {
	s.t.Helper()
	var slowest time.Duration
	seen := map[string]bool{}
	for _, p := range places {
		if seen[p.cloud] {
			continue
		}
		seen[p.cloud] = true
		alone := &region{sim: s, place: p, owner: cloud.Owner{Mesh: mesh, MCIS: "alone"}, step: 1, total: 1}
		begin := time.Now()
		if err := alone.create(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		took := time.Since(begin)
		s.t.Logf("one machine alone on %s: %s", p, round(took))
		slowest = max(slowest, took)
		if err := alone.clear(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	return slowest
}

// phase is what a call is made for.
type phase int32

const (
	phaseOther phase = iota // login, catalogue: before the count begins
	phaseSetUp              // a region's network
	phaseVM                 // a machine's creation and deletion
	phaseWait               // lists
)

type phaseKey struct{}

// tally counts calls by cloud and phase.
type tally struct {
	mu sync.Mutex
	n  map[string]map[phase]int
}

func (c *tally) add(cloud string, p phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n[cloud] == nil {
		c.n[cloud] = map[phase]int{}
	}
	c.n[cloud][p]++
}

func (c *tally) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = map[string]map[phase]int{}
}

// of returns the calls of a phase; what bears none is a machine's.
func (c *tally) of(p phase) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, m := range c.n {
		sum += m[p]
		if p == phaseVM {
			sum += m[phaseOther]
		}
	}
	return sum
}

func (c *tally) perRegion(p phase, regions int) float64 { return float64(c.of(p)) / float64(regions) }

func (c *tally) cloud(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.n[name]
	return fmt.Sprintf("%5d calls for machines, %5d for networks, %5d for lists", m[phaseVM]+m[phaseOther], m[phaseSetUp], m[phaseWait])
}
