package service_test

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/node/service"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// spec is a service as a provisioned VM has it; paths with blanks and quotes
// are legal, so they must survive both shells' and systemd's quoting.
func spec(t *testing.T, root string) service.Spec {
	t.Helper()
	program := filepath.Join(t.TempDir(), "cbnetd")
	if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return service.Spec{
		Root: root, From: program, Interface: "cbn0", State: "/var/lib/cbnet/cbn0", Credential: []byte("token"), Join: true, Exec: true,
		Flags: []string{"--port=51820", "--network=a/b c$HOME%n'\"\\"},
	}
}

// noRunner fails the test if anything is started.
func noRunner(t *testing.T) service.Runner {
	return func(_ context.Context, program string, args ...string) error {
		t.Errorf("started: %s %v", program, args)
		return nil
	}
}

// tree lists all files below a folder with mode and content.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			got["/"+rel] = "-> " + target
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		got["/"+rel] = fi.Mode().String() + " " + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// modes cuts contents off.
func modes(tree map[string]string) map[string]string {
	m := map[string]string{}
	for k, v := range tree {
		m[k], _, _ = strings.Cut(v, " ")
		if strings.HasPrefix(v, "-> ") {
			m[k] = v
		}
	}
	return m
}

func withSystemd(t *testing.T, root string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestInstallFiles(t *testing.T) {
	for _, tt := range []struct {
		name    string
		systemd bool
		want    map[string]string
	}{
		{name: "init script", want: map[string]string{
			"/usr/local/bin/cbnetd":     "-rwxr-xr-x",
			"/etc/cbnet/cbn0.token":     "-rw-------",
			"/etc/cbnet/cbn0.installed": "-rw-------",
			"/etc/init.d/cbnetd-cbn0":   "-rwxr-xr-x",
			"/etc/rc2.d/S50cbnetd-cbn0": "-> ../init.d/cbnetd-cbn0",
		}},
		{name: "systemd", systemd: true, want: map[string]string{
			"/usr/local/bin/cbnetd":                   "-rwxr-xr-x",
			"/etc/cbnet/cbn0.token":                   "-rw-------",
			"/etc/cbnet/cbn0.installed":               "-rw-------",
			"/etc/systemd/system/cbnetd-cbn0.service": "-rw-r--r--",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if tt.systemd {
				withSystemd(t, root)
			}
			s := spec(t, root)
			if err := service.Install(t.Context(), s, noRunner(t)); err != nil {
				t.Fatal(err)
			}
			first := tree(t, root)
			if d := cmp.Diff(tt.want, modes(first)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if fi, err := os.Stat(filepath.Join(root, s.State)); err != nil || fi.Mode().Perm() != 0o700 {
				t.Errorf("state folder: %v, %v; want mode 0700", fi, err)
			}
			if err := service.Install(t.Context(), s, noRunner(t)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(first, tree(t, root)); d != "" {
				t.Errorf("the second install changed something (-first +second):\n%s", d)
			}
			r := service.Removal{Root: root, Interface: "cbn0"}
			for range 2 {
				if err := service.Uninstall(t.Context(), r, noRunner(t)); err != nil {
					t.Fatal(err)
				}
			}
			if got := tree(t, root); len(got) != 0 {
				t.Errorf("left after uninstall: %v", modes(got))
			}
			if _, err := os.Stat(filepath.Join(root, s.State)); err != nil {
				t.Errorf("state after uninstall: %v, want it kept", err)
			}
		})
	}
}

func TestGolden(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		systemd    bool
		exec       bool
	}{
		{name: "init.golden", path: "/etc/init.d/cbnetd-cbn0", exec: true},
		{name: "unit.golden", path: "/etc/systemd/system/cbnetd-cbn0.service", systemd: true},
		{name: "unit-exec.golden", path: "/etc/systemd/system/cbnetd-cbn0.service", systemd: true, exec: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			if tt.systemd {
				withSystemd(t, root)
			}
			s := spec(t, root)
			s.Exec = tt.exec
			if err := service.Install(t.Context(), s, noRunner(t)); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, tt.path))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", tt.name)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("(-want +got; -update rewrites):\n%s", d)
			}
		})
	}
}

func TestUninstallKeepsOthers(t *testing.T) {
	root := t.TempDir()
	one, two := spec(t, root), spec(t, root)
	two.Interface, two.State, two.Join = "cbn1", "/var/lib/cbnet/cbn1", false
	for _, s := range []service.Spec{one, two} {
		if err := service.Install(t.Context(), s, noRunner(t)); err != nil {
			t.Fatal(err)
		}
	}
	lock := filepath.Join(root, one.State, "lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := service.Uninstall(t.Context(), service.Removal{Root: root, Interface: "cbn0", Purge: true}, noRunner(t)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/usr/local/bin/cbnetd":     "-rwxr-xr-x",
		"/etc/cbnet/cbn1.bundle":    "-rw-------",
		"/etc/cbnet/cbn1.installed": "-rw-------",
		"/etc/init.d/cbnetd-cbn1":   "-rwxr-xr-x",
		"/etc/rc2.d/S50cbnetd-cbn1": "-> ../init.d/cbnetd-cbn1",
	}
	if d := cmp.Diff(want, modes(tree(t, root))); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(root, two.State)); err != nil {
		t.Errorf("the other's state: %v", err)
	}
}

// An install that did not come to its end is remembered, until one does: the
// daemon that runs is then started anew though no file differs any more.
func TestInstallRemembersWhatIsPending(t *testing.T) {
	root := t.TempDir()
	s := spec(t, root)
	pending := func() bool {
		data, err := os.ReadFile(filepath.Join(root, "/etc/cbnet/cbn0.installed"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(data), `"pending": true`)
	}
	obstacle := filepath.Join(root, "/etc/init.d/cbnetd-cbn0")
	if err := os.MkdirAll(obstacle, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := service.Install(t.Context(), s, noRunner(t)); err == nil || !pending() {
		t.Errorf("Install: %v, pending %v; want an error and true", err, pending())
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := service.Install(t.Context(), s, noRunner(t)); err != nil || pending() {
		t.Errorf("Install: %v, pending %v; want none and false", err, pending())
	}
}

// An install that kill -9 interrupted leaves nothing for good.
func TestUninstallRemovesWhatAnInterruptedInstallLeft(t *testing.T) {
	root := t.TempDir()
	if err := service.Install(t.Context(), spec(t, root), noRunner(t)); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"/usr/local/bin/.cbnetd.12", "/etc/cbnet/.cbn0.token.345", "/etc/cbnet/.cbn0.installed.6", "/etc/init.d/.cbnetd-cbn0.7"} {
		if err := os.WriteFile(filepath.Join(root, f), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := service.Uninstall(t.Context(), service.Removal{Root: root, Interface: "cbn0"}, noRunner(t)); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, root); len(left) > 0 {
		t.Errorf("left: %v", modes(left))
	}
}

// A list that was tampered with, or a state folder that is none, must not make
// uninstall remove anything else.
func TestUninstallBelievesLittle(t *testing.T) {
	for _, tt := range []struct{ name, list, want string }{
		{"foreign file", `{"format":1,"state":"/var/lib/cbnet/cbn0","files":["/etc/passwd"]}`, "no file of this service"},
		{"foreign state", `{"format":1,"state":"/etc","files":[]}`, "does not look like a state folder"},
		{"no JSON", `x`, "want JSON"},
		{"a later format", `{"format":2}`, "format 2: want 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			passwd := filepath.Join(root, "etc/passwd")
			if err := os.MkdirAll(filepath.Join(root, "etc/cbnet"), 0o755); err != nil {
				t.Fatal(err)
			}
			for path, data := range map[string]string{passwd: "root", filepath.Join(root, "etc/cbnet/cbn0.installed"): tt.list} {
				if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := service.Uninstall(t.Context(), service.Removal{Root: root, Interface: "cbn0", Purge: true}, noRunner(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Uninstall: %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(passwd); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestBadSpec(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*service.Spec)
		want   string
	}{
		{"interface", func(s *service.Spec) { s.Interface = "a/b" }, "interface"},
		{"relative state", func(s *service.Spec) { s.State = "state" }, "absolute path"},
		{"control characters", func(s *service.Spec) { s.Flags = []string{"--network=a\nb"} }, "control characters"},
		{"empty credential", func(s *service.Spec) { s.Credential = nil }, "empty"},
		{"no program", func(s *service.Spec) { s.From = "/no/such/program" }, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			s := spec(t, root)
			tt.change(&s)
			err := service.Install(t.Context(), s, noRunner(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Install: %v, want %q", err, tt.want)
			}
			if got := tree(t, root); len(got) != 0 {
				t.Errorf("written: %v", modes(got))
			}
		})
	}
}

func TestExecReportsWhatWasSaid(t *testing.T) {
	err := service.Exec(t.Context(), "/bin/sh", "-c", "echo said this >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "said this") {
		t.Errorf("Exec: %v, want the program's words", err)
	}
	if err := service.Exec(t.Context(), "/no/such/program"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Exec: %v, want fs.ErrNotExist", err)
	}
}
