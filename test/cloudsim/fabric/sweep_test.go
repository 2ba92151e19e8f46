package fabric

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSweepDead plants what a fabric of a network namespace that is no more left
// behind, beside what only looks like it.
func TestSweepDead(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("namespaces need root")
		}
		t.Skip("namespaces need root")
	}
	own, err := netnsID()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		t.Fatal(err)
	}
	dead := "0" + own // no number is written like this, so no other fabric has it
	strange := filepath.Join(lockDir, "["+own+"].lock")
	names := map[string]bool{"csim-" + dead + "-v1": false, "csim-" + own + "-v1": true, "other-" + dead: true} // kept?
	if _, err := prepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	for name := range names {
		if err := makeNetns(name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := removeNetns(name); err != nil {
				t.Error(err)
			}
		})
	}
	for _, lock := range []string{filepath.Join(lockDir, dead+".lock"), strange} {
		if err := os.WriteFile(lock, []byte(`{"pid":1,"processes":[{"pid":1,"start":1}`), 0o600); err != nil { // cut off
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(lock) })
	}
	if err := sweepDead(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	for name, keep := range names {
		if _, err := os.Stat(filepath.Join(netnsDir, name)); (err == nil) != keep {
			t.Errorf("namespace %s: got %v, want it kept: %t", name, err, keep)
		}
	}
	if _, err := os.Stat(filepath.Join(lockDir, dead+".lock")); err == nil {
		t.Error("the dead one's lock is still there")
	}
	if _, err := os.Stat(strange); err != nil {
		t.Error("a file that is not a lock was removed")
	}
}
