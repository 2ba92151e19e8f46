package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// TestDemo runs what `make demo` runs.
func TestDemo(t *testing.T) {
	start := time.Now()
	r := commandIn(t, 5*time.Minute, nil, "examples/demo.sh")
	t.Logf("took %s\n%s", time.Since(start).Round(time.Second), r.stdout)
	if r.code != 0 {
		t.Fatalf("exit %d\n%s", r.code, r.stderr)
	}
	for _, want := range []string{"12 of 12 ordered pairs", "hello from shop-db-1", "inventory: []"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("does not say %q", want)
		}
	}
}
