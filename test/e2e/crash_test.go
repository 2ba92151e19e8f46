package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// TestServerKilled kills the control plane at random moments of create and
// delete while the clouds throttle and lose answers: nothing may be doubled,
// nothing lost. Five moments in short runs, twenty otherwise.
func TestServerKilled(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("CBNET_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("CBNET_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("replay the moments with CBNET_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	s := newSystem(t)
	s.faults(t, map[string]any{"throttle": 0.1, "dropAfterCommit": 0.02})
	for done, round := 0, 0; done < kills; round++ {
		done += s.interrupted(t, rnd, 2, "mcis", "apply", "-f", "examples/hybrid.yaml", "--yes")
		st := s.status(t, "shop")
		vms := s.vms(t)
		if st.Phase != "ready" || st.Ready != 4 || len(vms) != 4 {
			t.Fatalf("round %d: %+v\nVMs: %v", round, st, vms)
		}
		allPairs4(t, s, st)
		done += s.interrupted(t, rnd, 2, "mcis", "delete", "shop", "--yes")
		s.empty(t)
		t.Logf("round %d: %d kills so far, 0 doubles, 0 orphans", round, done)
	}
}

// interrupted runs a command of cbctl to its end while the server is killed
// and started again up to n times, and returns how often it was.
func (s *system) interrupted(t *testing.T, rnd *rand.Rand, n int, args ...string) int {
	t.Helper()
	cmd := exec.Command(bin("cbctl"), args...)
	out := &syncBuffer{}
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CBCTL_CONTEXT="+s.context())
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(4 * time.Minute)
	kills := 0
	for {
		var moment <-chan time.Time
		if kills < n {
			moment = time.After(time.Duration(rnd.Int64N(int64(5 * time.Second))))
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("cbctl %v: %v\n%s", args, err, out)
			}
			return kills
		case <-moment:
			s.server.kill(t)
			kills++
			s.startServer(t)
		case <-limit:
			t.Fatalf("cbctl %v did not end\n%s", args, out)
		}
	}
}

// allPairs4: every ordered pair over IPv4, straight from the namespaces.
func allPairs4(t *testing.T, s *system, st status) {
	t.Helper()
	ns := s.vms(t)
	for _, from := range st.Nodes {
		for _, to := range st.Nodes {
			if from.Name != to.Name {
				eventually(t, 20*time.Second, fmt.Sprintf("%s reaches %s", from.Name, to.Name), func() error { return ping(ns[from.Name], to.IP) })
			}
		}
	}
}
