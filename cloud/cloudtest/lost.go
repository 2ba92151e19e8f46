package cloudtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// course is the whole life of a network with two machines, through calls that
// may lose their answers.
func (sc *scenario) course() {
	sc.t.Helper()
	first := sc.ensureNetwork()
	specs := []int{0, 1}
	for _, i := range specs {
		sc.createVM(sc.vmSpec(i))
	}
	vms := sc.running(sc.vmSpec(0), sc.vmSpec(1))
	sc.kinds(sc.full(2))
	// Once more: the same network, the same machines.
	if again := sc.ensureNetwork(); again != first {
		sc.t.Fatalf("network changed from %+v to %+v", first, again)
	}
	for _, i := range specs {
		if vm := sc.createVM(sc.vmSpec(i)); vm.ID != vms[vm.Token].ID {
			sc.t.Fatalf("token %s: machine %s became %s", vm.Token, vms[vm.Token].ID, vm.ID)
		}
	}
	sc.kinds(sc.full(2))
	sc.deleteAll()
}

// answerLost loses the answer of each changing call in turn, with -short of
// every third. Each turn has an owner of its own, so they go side by side.
func (s *suite) answerLost(t *testing.T) {
	count := &Lossy{}
	s.begin(t, count).course()
	calls := count.Calls()
	t.Logf("%d changing and %d other calls: %s", len(calls), count.Others(), strings.Join(calls, ", "))
	for n, call := range calls {
		if testing.Short() && n%3 != 0 {
			continue
		}
		t.Run(fmt.Sprintf("%02d %s", n, strings.ReplaceAll(call, "/", "_")), func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			l := &Lossy{Lose: func(i int, _ string, _ [32]byte) bool { return i == n }}
			s.begin(t, l).course()
			lost := l.Lost()
			if len(lost) != 1 {
				t.Fatalf("lost the answers of %q, want one", lost)
			}
			t.Logf("lost the answer of %s: no double, no orphan, %s", lost[0], time.Since(start).Round(time.Millisecond))
		})
	}
}

// everyAnswerLost loses the first answer of every call that differs from the
// ones before.
func (s *suite) everyAnswerLost(t *testing.T) {
	var mu sync.Mutex
	seen := map[[32]byte]bool{}
	l := &Lossy{Lose: func(_ int, _ string, digest [32]byte) bool {
		mu.Lock()
		defer mu.Unlock()
		lose := !seen[digest]
		seen[digest] = true
		return lose
	}}
	s.begin(t, l).course()
	if len(l.Lost()) == 0 {
		t.Fatal("no answer was lost")
	}
	t.Logf("lost %d answers of %d changing calls", len(l.Lost()), len(l.Calls()))
}
