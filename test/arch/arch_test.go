// Package arch_test holds the rules of the architecture: which part may know
// which. docs/architecture.md tells the reasons at length.
package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cbnet-io/cbnet"

// rules: no package below any of `of` may depend on a package below any of
// `not`, directly or not. Tests are not looked at.
var rules = []struct {
	of, not []string
	why     string
}{
	{[]string{"overlay", "identity", "cloud", "api"}, []string{"mesh", "store", "node", "mcis", "server", "cmd"}, "layer 1 knows none of the layers above"},
	{[]string{"overlay"}, []string{"identity", "cloud", "api"}, "the data plane knows no certificates and no clouds"},
	{[]string{"identity"}, []string{"overlay", "cloud", "api"}, "identity stands alone"},
	{[]string{"cloud"}, []string{"overlay", "identity", "api"}, "a driver knows its cloud and nothing else"},
	{[]string{"mesh", "store"}, []string{"node", "mcis", "server", "cmd", "cloud", "api"}, "layer 2"},
	{[]string{"node"}, []string{"mcis", "server", "store", "cmd", "cloud"}, "a node must run without any control plane"},
	{[]string{"mcis"}, []string{"node", "mesh", "overlay", "server", "cmd", "cloud/alibaba", "cloud/aws", "cloud/azure", "cloud/gcp", "cloud/openstack", "cloud/providers"}, "the reconciler speaks to clouds by the contract alone"},
	{[]string{"server"}, []string{"cmd", "cloud/alibaba", "cloud/aws", "cloud/azure", "cloud/gcp", "cloud/openstack"}, "SDKs are wired in by cmd/cbserver"},
	{[]string{"cmd/cbctl"}, []string{"mesh", "overlay", "store", "mcis", "server", "cloud"}, "cbctl starts in 50 ms"},
	{[]string{"cmd/cbnetd"}, []string{"mcis", "server", "store", "cloud"}, "the daemon is small"},
}

// foreign: who may import a big dependency directly.
var foreign = []struct {
	path string
	by   []string
	why  string
}{
	{"github.com/hashicorp/memberlist", []string{"mesh"}, "gossip is the mesh's business"},
	{"golang.zx2c4.com/wireguard", []string{"overlay"}, "WireGuard is the overlay's business"},
	{"github.com/vishvananda/netlink", []string{"overlay", "test"}, "links and routes are the overlay's business"},
	{"github.com/aliyun/alibaba-cloud-sdk-go", []string{"cloud/alibaba", "test"}, "an SDK stays in its driver"},
	{"github.com/aws/aws-sdk-go-v2", []string{"cloud/aws", "test"}, "an SDK stays in its driver"},
	{"cloud.google.com/go", []string{"cloud/gcp", "test"}, "an SDK stays in its driver"},
	{"google.golang.org/api", []string{"cloud/gcp", "test"}, "an SDK stays in its driver"},
	{"github.com/Azure/azure-sdk-for-go", []string{"cloud/azure", "test"}, "an SDK stays in its driver"},
	{"github.com/gophercloud/gophercloud", []string{"cloud/openstack", "test"}, "an SDK stays in its driver"},
	{"go.etcd.io/etcd", []string{"store"}, "the store hides etcd"},
	{"filippo.io/age", []string{"store"}, "sealing is the store's business"},
	{"github.com/danielgtaylor/huma", []string{"server"}, "cbctl must not pay for the server's framework"},
}

func TestLayers(t *testing.T) {
	deps := list(t, "{{.ImportPath}} {{join .Deps \" \"}}")
	for _, r := range rules {
		for pkg, all := range deps {
			if !below(pkg, r.of) {
				continue
			}
			for _, d := range all {
				if below(d, r.not) && !below(d, r.of) {
					t.Errorf("%s depends on %s: %s", pkg, d, r.why)
				}
			}
		}
	}
}

func TestForeignImports(t *testing.T) {
	imports := list(t, "{{.ImportPath}} {{join .Imports \" \"}}")
	for _, f := range foreign {
		used := false
		for pkg, all := range imports {
			for _, d := range all {
				if d != f.path && !strings.HasPrefix(d, f.path+"/") {
					continue
				}
				used = true
				if !below(pkg, f.by) {
					t.Errorf("%s imports %s: %s", pkg, d, f.why)
				}
			}
		}
		if !used {
			t.Errorf("nobody imports %s: the rule is out of date", f.path)
		}
	}
}

// list runs go list with a format whose first word is a package of ours.
func list(t *testing.T, format string) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", format, "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	m := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		m[f[0]] = f[1:]
	}
	if len(m) < 10 {
		t.Fatalf("go list found %d packages only", len(m))
	}
	return m
}

// below reports whether the package lies in one of the module's folders.
func below(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool {
		return pkg == module+"/"+f || strings.HasPrefix(pkg, module+"/"+f+"/")
	})
}

func TestRulesCanFail(t *testing.T) {
	if !below(module+"/cloud/aws", []string{"cloud"}) || below(module+"/cloudy", []string{"cloud"}) || below("fmt", []string{"fmt"}) {
		t.Fatal("below does not tell folders apart")
	}
}

// TestPackageDocs: every package says once what it is.
func TestPackageDocs(t *testing.T) {
	docs := map[string]int{}
	each(t, func(path string, f *ast.File) {
		dir := filepath.Dir(path)
		if f.Doc != nil {
			docs[dir]++
		} else if _, ok := docs[dir]; !ok {
			docs[dir] = 0
		}
	})
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package docs, want 1", dir, n)
		}
	}
}

// TestNoInit: work in init() and package-level setters make
// tests depend on each other.
func TestNoInit(t *testing.T) {
	each(t, func(path string, f *ast.File) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", path)
			}
		}
	})
}

// TestCapabilitiesThroughWrappers: a type assertion does not see the optional
// capabilities of a guarded driver; cloud.As does.
func TestCapabilitiesThroughWrappers(t *testing.T) {
	capabilities := []string{"Catalog", "Console", "Power", "NAT", "Quoter", "Pricer"}
	each(t, func(path string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			assert, ok := n.(*ast.TypeAssertExpr)
			if !ok {
				return true
			}
			if sel, ok := assert.Type.(*ast.SelectorExpr); ok && slices.Contains(capabilities, sel.Sel.Name) {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "cloud" {
					t.Errorf("%s asserts the type cloud.%s: use cloud.As", path, sel.Sel.Name)
				}
			}
			return true
		})
	})
}

// each parses every non-test file of the module.
func each(t *testing.T, do func(path string, f *ast.File)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && path != root && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "bin") && e.Name() != ".." {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		do(path, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
