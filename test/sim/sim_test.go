package sim_test

import (
	"cmp"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/test/sim"
)

var (
	seeds = flag.Int("seeds", 24, "how many seeds to simulate")
	seed  = flag.Uint64("seed", 1, "the first one")
	nodes = flag.Int("nodes", 0, "how many members; 0 means the default")
	chaos = flag.Duration("chaos", 0, "how long faults happen; 0 means the default")
	most  = flag.Duration("for", 0, "begin no more seeds after that; 0 means all")
	lines = flag.Bool("lines", false, "print all that the nodes log")
)

// maxBroken is after how many failed seeds TestSeeds ends.
const maxBroken = 5

// totals are the sums over all seeds.
type totals struct {
	began              time.Time
	mu                 sync.Mutex
	next               int
	run, broken        int
	nodes, events      int
	simulated, slowest time.Duration
	sumHealed          time.Duration
}

// take returns the number of the next seed, false if there is none.
func (s *totals) take() (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next >= *seeds || s.broken >= maxBroken || *most > 0 && time.Since(s.began) > *most {
		return 0, false
	}
	s.next++
	return *seed + uint64(s.next-1), true
}

func (s *totals) add(r sim.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.nodes, s.events, s.simulated = s.run+1, s.nodes+r.Nodes, s.events+r.Events, s.simulated+r.Sim
	s.slowest, s.sumHealed = max(s.slowest, r.Healed), s.sumHealed+r.Healed
	if r.Broken != nil {
		s.broken++
	}
}

// TestSeeds simulates many seeds, two at a time.
func TestSeeds(t *testing.T) {
	sum := totals{began: time.Now()}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i, ok := sum.take(); ok; i, ok = sum.take() {
				sum.add(simulate(t, i))
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %d broken; %d nodes (a fifth of them lie), %d events, %s simulated in %s; all well again %s after the last fault in the mean, %s at most (simulated)",
		sum.run, sum.broken, sum.nodes, sum.events, sum.simulated.Round(time.Second), time.Since(sum.began).Round(time.Millisecond),
		(sum.sumHealed / time.Duration(max(1, sum.run))).Round(time.Millisecond), sum.slowest)
}

// simulate runs one seed and tells how to run it again if it fails.
func simulate(t *testing.T, seed uint64) sim.Result {
	t.Helper()
	o := sim.Options{Seed: seed, Nodes: *nodes, Chaos: *chaos}
	if testing.Short() { // a smaller mesh, and less long
		o.Nodes, o.Chaos = cmp.Or(o.Nodes, 15), cmp.Or(o.Chaos, 30*time.Second)
	}
	if *lines {
		o.Verbose = func(at time.Duration, node string, l protocol.Log) {
			fmt.Println(at, node, l.Level, l.Message, l.Args)
		}
	}
	r, err := sim.Run(o)
	if err != nil {
		t.Errorf("seed %d: %v", seed, err)
		return r
	}
	if r.Broken != nil {
		t.Errorf("seed %d: %s\nreplay: go test -count=1 -run TestSeeds ./test/sim -seeds 1 -seed %d%s\n%s", seed, r.Broken, seed, flags(), r.Trace)
	}
	return r
}

// flags are those of this run that a replay needs.
func flags() string {
	f := ""
	if testing.Short() {
		f += " -short"
	}
	if *nodes != 0 {
		f += fmt.Sprintf(" -nodes %d", *nodes)
	}
	if *chaos != 0 {
		f += fmt.Sprintf(" -chaos %s", *chaos)
	}
	return f
}

// TestReplay: one seed gives one trace, another seed another.
func TestReplay(t *testing.T) {
	run := func(seed uint64) string {
		r := simulate(t, seed)
		return fmt.Sprintf("%x after %d events", r.Hash, r.Events)
	}
	first := run(*seed)
	runtime.GC()
	if again := run(*seed); again != first {
		t.Errorf("seed %d: %s, then %s", *seed, first, again)
	}
	if other := run(*seed + 1); other == first {
		t.Errorf("seeds %d and %d give the same trace", *seed, *seed+1)
	}
}
