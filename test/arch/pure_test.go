package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pure are the packages that decide and do nothing: what they return follows
// from what they are told, so that a simulation replays exactly.
var pure = []string{"mesh/protocol"}

// pureImports is all that they may know, beside the values of identity and
// overlay: no clock but the time they are told, no files, sockets or locks.
var pureImports = []string{
	"bytes", "cmp", "context", "crypto/ecdh", "crypto/ed25519", "crypto/sha256", "crypto/x509", "encoding/base64", "encoding/binary",
	"encoding/hex", "encoding/json", "errors", "fmt", "hash/fnv", "io", "iter", "log/slog", "maps", "math", "math/bits", "math/rand/v2", "net/netip",
	"reflect", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8",
	module + "/identity", module + "/overlay",
}

// pureCalls says which functions of some packages they may call; of others, all.
var pureCalls = map[string]func(name string) bool{
	"time": func(name string) bool {
		return !slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}, name)
	},
	"rand": func(name string) bool { return strings.HasPrefix(name, "New") },
	"slog": func(name string) bool {
		return !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log", "Default", "With"}, name)
	},
	"context": func(name string) bool { return false },
}

// impurities returns what a file does that follows from more than its arguments.
func impurities(f *ast.File) []string {
	var found []string
	for _, i := range f.Imports {
		if path, err := strconv.Unquote(i.Path.Value); err != nil || !slices.Contains(pureImports, path) {
			found = append(found, "imports "+i.Path.Value)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "starts a goroutine")
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			found = append(found, "uses a channel")
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := sel.X.(*ast.Ident)
			if ok && pkg.Obj == nil && pureCalls[pkg.Name] != nil && !pureCalls[pkg.Name](sel.Sel.Name) {
				found = append(found, "calls "+pkg.Name+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestPure(t *testing.T) {
	seen := 0
	each(t, func(path string, f *ast.File) {
		if !slices.Contains(pure, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), filepath.Join("..", "..")+string(filepath.Separator)))) {
			return
		}
		seen++
		for _, what := range impurities(f) {
			t.Errorf("%s %s: it must follow from its arguments alone", path, what)
		}
	})
	if seen < 10 {
		t.Errorf("%d files of %v found", seen, pure)
	}
}

func TestPureCanFail(t *testing.T) {
	tests := []struct {
		name string
		code string
		want string
	}{
		{"clock", `import "time"; var f = func() time.Time { return time.Now() }`, "calls time.Now"},
		{"timer", `import "time"; func f() { <-time.After(1) }`, "calls time.After"},
		{"chance", `import "math/rand/v2"; func f() int { return rand.IntN(3) }`, "calls rand.IntN"},
		{"lock", `import "sync"; var m sync.Mutex`, `imports "sync"`},
		{"socket", `import "net"; var c net.Conn`, `imports "net"`},
		{"goroutine", `func f() { go f() }`, "starts a goroutine"},
		{"channel", `var c chan int`, "uses a channel"},
		{"own generator", `import "math/rand/v2"; func f(r *rand.Rand) int { return r.IntN(3) + rand.New(nil).IntN(3) }`, ""},
		{"given time", `import "time"; func f(now time.Time) time.Time { return now.Add(time.Second) }`, ""},
	}
	for _, tt := range tests {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+tt.code, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(impurities(f), "; "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
