package arch_test

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// keysFrom is at which argument the keys of a logger's method begin.
var keysFrom = map[string]int{
	"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0, "Log": 3,
	"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
}

// logKeys returns the keys that a file logs with, each with a place.
func logKeys(path string, f *ast.File, found map[string]string) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := keysFrom[sel.Sel.Name]
		if !ok || !isLogger(sel.X) {
			return true
		}
		for i := from; i < len(call.Args); i += 2 {
			if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if key, err := strconv.Unquote(lit.Value); err == nil {
					found[key] = path
				}
			}
		}
		return true
	})
}

// isLogger reports whether an expression is called log, or ends so, or is a
// logger made from one on the spot.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return strings.EqualFold(x.Name, "log")
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	case *ast.CallExpr:
		sel, ok := x.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "With"
	}
	return false
}

// TestLogKeys: the list in docs/architecture.md is the one that the code uses.
func TestLogKeys(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## Log keys\n")
	if !ok {
		t.Fatal("docs/architecture.md has no section Log keys")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("`([A-Za-z0-9]+)`").FindAllStringSubmatch(section, -1) {
		listed[m[1]] = true
	}
	used := make(map[string]string)
	each(t, func(path string, f *ast.File) {
		if !strings.HasPrefix(path, filepath.Join("..", "..", "test")+string(filepath.Separator)) {
			logKeys(path, f, used)
		}
	})
	if len(used) < 10 {
		t.Fatalf("only %d keys found", len(used))
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		if !listed[key] {
			t.Errorf("%s logs with the key %q, which docs/architecture.md does not list: use a listed one, or add it", used[key], key)
		}
		delete(listed, key)
	}
	for _, key := range slices.Sorted(maps.Keys(listed)) {
		t.Errorf("docs/architecture.md lists the log key %q, which nothing uses", key)
	}
}
