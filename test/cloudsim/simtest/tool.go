package simtest

import (
	"os"
	"os/exec"
	"testing"
)

// NeedTool skips a test where a program is missing; in CI it fails.
func NeedTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
}
