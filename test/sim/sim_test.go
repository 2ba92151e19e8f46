package sim_test

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/test/sim"
)

var (
	seeds = flag.Int("seeds", 8, "how many seeds to simulate")
	seed  = flag.Uint64("seed", 1, "the first one")
	lines = flag.Bool("lines", false, "print all that the nodes log")
)

// TestSeeds simulates many seeds, two at a time.
func TestSeeds(t *testing.T) {
	began := time.Now()
	var events, nodes atomic.Int64
	var slowest, simulated atomic.Int64
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= uint64(*seeds) || t.Failed() {
					return
				}
				r := simulate(t, *seed+i)
				events.Add(int64(r.Events))
				nodes.Add(int64(r.Nodes))
				simulated.Add(int64(r.Sim))
				for {
					was := slowest.Load()
					if int64(r.Healed) <= was || slowest.CompareAndSwap(was, int64(r.Healed)) {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %d nodes (a fifth of them lie), %d events, %s simulated in %s; all well again at most %s after the last fault (simulated)",
		*seeds, nodes.Load(), events.Load(), time.Duration(simulated.Load()).Round(time.Second), time.Since(began).Round(time.Millisecond), time.Duration(slowest.Load()))
}

// simulate runs one seed and tells how to run it again if it fails.
func simulate(t *testing.T, seed uint64) sim.Result {
	t.Helper()
	o := sim.Options{Seed: seed}
	if testing.Short() { // a smaller mesh, and less long
		o.Nodes, o.Chaos = 15, 30*time.Second
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
		t.Errorf("seed %d: %s\nreplay: go test -count=1%s -run TestSeeds ./test/sim -seeds 1 -seed %d\n%s", seed, r.Broken, short(), seed, r.Trace)
	}
	return r
}

func short() string {
	if testing.Short() {
		return " -short"
	}
	return ""
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
