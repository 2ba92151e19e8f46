package simtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NeedTool returns the path of a program. It skips a test where that is missing;
// in CI it fails.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		miss(t, name+" is not installed")
	}
	return path
}

// NeedNode returns the folder of a vendor's SDK for Node, which has to hold module,
// below the root of the project. It skips a test where that or node is missing; in
// CI it fails.
func NeedNode(t testing.TB, root, vendor, module string) string {
	t.Helper()
	NeedTool(t, "node")
	modules, err := filepath.Abs(filepath.Join(root, ".tools", "node", vendor, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, module, "package.json")); err != nil {
		miss(t, "the vendor's SDK for Node is not installed (make test installs it)")
	}
	return modules
}

func miss(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
