package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/internal/cli"
	"github.com/cbnet-io/cbnet/server/pki"
	"github.com/cbnet-io/cbnet/server/servertest"
)

// execute runs the command line up to, but not including, the daemon itself
// unless all flags are right.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	code = cli.Report(&errs, "cbserver", cmd.ExecuteContext(t.Context()))
	return code, out.String(), errs.String()
}

func TestFlags(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"version", []string{"--version"}, 0, nil},
		{"help", []string{"--help"}, 0, nil},
		{"nothing", nil, 2, []string{"--data: missing"}},
		{"unknown flag", []string{"--nope"}, 2, []string{"--nope", "--help"}},
		{"an argument", []string{"start"}, 2, []string{`"start"`}},
		{"all faults at once", []string{
			"--data", "", "--mesh", "Bad_", "--cidr", "10.66.1.0/16", "--listen", "7443", "--introduce", "host:1", "--public", "https://x",
			"--port", "0x", "--deadline", "1ms", "--log-level", "loud", "--interface", "much-too-long-a-name",
		}, 2, []string{"--port"}},
		{"all faults of values", []string{
			"--mesh", "Bad_", "--cidr", "10.66.1.0/16", "--listen", "7443", "--introduce", "host:1", "--public", "https://x",
			"--port", "70000", "--deadline", "1ms", "--log-level", "loud", "--interface", "much-too-long-a-name",
		}, 2, []string{"--data", "--mesh", "--cidr", "--listen", "--introduce", "--public", "--port", "--deadline", "--log-level", "--interface"}},
		{"a prefix of a cloud's own services", []string{"--data", "x", "--cidr", "100.64.0.0/10"}, 2, []string{"--cidr"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := execute(t, tt.args...)
			if code != tt.code {
				t.Errorf("exit %d, want %d: %s", code, tt.code, stderr)
			}
			for _, w := range tt.want {
				if !strings.Contains(stderr, w) {
					t.Errorf("does not say %s:\n%s", w, stderr)
				}
			}
		})
	}
}

func TestPublicHost(t *testing.T) {
	tests := []struct {
		host string
		good bool
	}{
		{"", true}, {"cbnet.example", true}, {"198.18.0.1", true}, {"2001:db8::1", true},
		{"x:7443", false}, {"https://x", false}, {"a b", false},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			if err := checkHost(tt.host); (err == nil) != tt.good {
				t.Errorf("err = %v, want good = %v", err, tt.good)
			}
		})
	}
}

func TestAdvertise(t *testing.T) {
	got := advertise(t.Context(), "198.18.0.1")
	if len(got) != 1 || got[0] != netip.MustParseAddr("198.18.0.1") {
		t.Errorf("got %v", got)
	}
	if got := advertise(t.Context(), "127.0.0.1"); got != nil {
		t.Errorf("loopback leads nowhere, got %v", got)
	}
}

func TestPortTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("cbserver asks for root before it listens")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	d := &daemon{c: config{listen: l.Addr().String(), public: "198.18.0.1", data: filepath.Join(dir, "data")}}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The daemon's binary is looked for beside the test's own.
	beside := filepath.Join(filepath.Dir(exe), "cbnetd")
	if err := os.WriteFile(beside, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	err = d.openFiles(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Stat(d.c.data); err == nil {
		t.Error("the data directory was made all the same")
	}
	for _, f := range d.closers {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
}

func TestAdminContext(t *testing.T) {
	store := &servertest.Store{}
	p, err := pki.Open(t.Context(), store, pki.Config{Mesh: "test"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "admin.context")
	read := func() api.Context {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := api.ParseContext(data)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ensure := func(url string) *pki.Admin {
		t.Helper()
		a, err := ensureAdmin(t.Context(), p, path, url)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ensure("https://127.0.0.1:7443")
	first := read()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	admin := ensure("https://127.0.0.1:8443")
	second := read()
	if second.Token != first.Token || second.URL != "https://127.0.0.1:8443" || !admin.Check(string(second.Token)) {
		t.Errorf("after a restart on another port: %+v", second)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ensure("https://127.0.0.1:8443")
	if _, err := os.Stat(path); err == nil {
		t.Error("a file that was taken away came back without its token")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ensureAdmin(t.Context(), p, path, "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	if code := cli.Report(&b, "cbserver", errors.Join(errors.New("a"), errors.New("b"))); code != 1 || b.String() != "cbserver: a\ncbserver: b\n" {
		t.Errorf("exit %d: %q", code, b.String())
	}
}
