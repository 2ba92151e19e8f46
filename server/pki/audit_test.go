package pki_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// TestAuditFile: it is its owner's alone, also when it lay there before, and may
// be moved away.
func TestAuditFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	svc, err := pki.Open(t.Context(), &servertest.Store{}, pki.Config{URL: "https://192.0.2.1:7443", AuditFile: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	write := func(object string) {
		svc.Audit(t.Context(), pki.Entry{Action: "apply", Object: object, Outcome: pki.Done})
	}
	check := func(path string, want ...string) {
		t.Helper()
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != 0o600 {
			t.Errorf("%s: mode %o, want 600", path, got)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%s: %q, want lines about %q", path, lines, want)
		}
		for i, w := range want {
			if !strings.Contains(lines[i], w) {
				t.Errorf("%s: line %d: %q, want %q", path, i+1, lines[i], w)
			}
		}
	}
	write("one")
	check(path, "old", `"object":"one"`)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("two")
	check(path+".1", "old", `"object":"one"`)
	check(path, `"object":"two"`)
}

// TestAuditStoreIsBounded: the store of a server that runs for years does not
// fill up, and the latest entries are the ones kept.
func TestAuditStoreIsBounded(t *testing.T) {
	svc, err := pki.Open(t.Context(), &servertest.Store{}, pki.Config{URL: "https://192.0.2.1:7443"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := svc.Close(); err != nil {
			t.Error(err)
		}
	})
	const total = 12_500
	for i := range total {
		svc.Audit(t.Context(), pki.Entry{Action: "exec", Object: fmt.Sprint(i), Outcome: pki.Done})
	}
	log, err := svc.AuditLog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(log) < 10_000 || len(log) > 11_000 {
		t.Errorf("%d entries, want 10000 to 11000", len(log))
	}
	if last := log[len(log)-1].Object; last != fmt.Sprint(total-1) {
		t.Errorf("the last entry is %s, want %d", last, total-1)
	}
}
