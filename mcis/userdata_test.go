package mcis_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
)

var update = flag.Bool("update", false, "write the golden files")

const secret = "cb1.eyJmb3JtYXQiOjF9_-secret"

func boot(url, sum string) mcis.Boot {
	return mcis.Boot{
		Daemon: mcis.Daemon{URL: url, SHA256: sum, Interface: "cbn0", Port: 51820}, Token: secret, Network: "aws/ap-northeast-2/shop-1a2b3c4d",
	}
}

func TestUserDataGolden(t *testing.T) {
	got, err := mcis.UserData(boot("https://198.18.0.1:7443/v1/download/cbnetd-linux-amd64", strings.Repeat("0a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/userdata.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the script differs from %s (see -update):\n%s", file, got)
	}
	if len(got) > mcis.MaxUserData {
		t.Errorf("%d bytes", len(got))
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-n", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v\n%s", err, out)
	}
}

func TestUserDataRefusesWhatIsNotPlain(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    mcis.Boot
	}{
		{"quote in the url", boot("https://host/'; reboot; '", strings.Repeat("0a", 32))},
		{"no sum", boot("https://host/", "")},
		{"newline in the token", mcis.Boot{Daemon: boot("https://host/", "aa").Daemon, Token: "a\nTOKEN\nreboot", Network: "n"}},
		{"empty network", mcis.Boot{Daemon: boot("https://host/", "aa").Daemon, Token: "a"}},
	} {
		if script, err := mcis.UserData(tt.b); err == nil {
			t.Errorf("%s: accepted\n%s", tt.name, script)
		}
	}
}

// machine is a directory of tools in which the script runs as on a machine that
// has nothing else.
type machine struct {
	t     *testing.T
	tools string
	out   string // directory that the daemon's install writes to
}

func newMachine(t *testing.T, fetcher string) *machine {
	t.Helper()
	m := &machine{t: t, tools: t.TempDir(), out: t.TempDir()}
	for _, tool := range []string{"cat", "chmod", "cut", "date", "mktemp", "rm", "sha256sum", "tail", "stat", "sh", fetcher} {
		path, err := exec.LookPath(tool)
		if tool == "python3" && err == nil { // behind the shim of a version manager
			var out []byte
			out, err = exec.CommandContext(t.Context(), tool, "-c", "import sys; print(sys.executable)").Output()
			path = strings.TrimSpace(string(out))
		}
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed", tool)
		}
		if err := os.Symlink(path, filepath.Join(m.tools, tool)); err != nil {
			t.Fatal(err)
		}
	}
	m.script(m.tools+"/sleep", "echo \"$1\" >>"+m.out+"/slept\n")
	return m
}

func (m *machine) script(path, body string) {
	m.t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// daemon is a program that writes down how it was called.
func (m *machine) daemon(exit int) []byte {
	return fmt.Appendf(nil, `#!/bin/sh
echo "$@" >>%[1]s/args
cat "$3" >%[1]s/token
stat -c %%a "$3" "$0" >%[1]s/modes
echo installing; echo "cannot write the unit" >&2
exit %[2]d
`, m.out, exit)
}

func (m *machine) read(name string) string {
	data, err := os.ReadFile(filepath.Join(m.out, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// boot runs the script and returns what it printed and how it ended.
func (m *machine) boot(url string, sum [32]byte, edits ...string) (string, error) {
	m.t.Helper()
	script, err := mcis.UserData(boot(url, hex.EncodeToString(sum[:])))
	if err != nil {
		m.t.Fatal(err)
	}
	path := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if len(edits) == 0 {
		edits = []string{"patience=600", "patience=20"}
	}
	edits = append(edits, path, "PATH="+m.tools)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(string(script), edits[i]) {
			m.t.Fatalf("the script has no %q", edits[i])
		}
	}
	file := filepath.Join(m.tools, "user-data")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(edits...).Replace(string(script))), 0o700); err != nil {
		m.t.Fatal(err)
	}
	before := leftBehind(m.t)
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/bin/sh", file).CombinedOutput()
	if after := leftBehind(m.t); len(after) > len(before) && !slices.Equal(after, before) {
		m.t.Errorf("left behind: %v", after)
	}
	if strings.Contains(string(out), secret) {
		m.t.Errorf("the token is printed:\n%s", out)
	}
	return string(out), err
}

func leftBehind(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, base := range []string{"/var/lib", "/var/tmp", "/tmp"} {
		found, err := filepath.Glob(base + "/cbnet-boot.*")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	return out
}

// TestUserDataInstalls runs the script for real: the server's first answers are
// an error and a damaged file.
func TestUserDataInstalls(t *testing.T) {
	for _, fetcher := range []string{"curl", "wget", "python3"} {
		t.Run(fetcher, func(t *testing.T) {
			m := newMachine(t, fetcher)
			daemon := m.daemon(0)
			var n atomic.Int32
			srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch n.Add(1) {
				case 1:
					http.Error(w, "not yet", http.StatusServiceUnavailable)
				case 2:
					_, _ = w.Write(daemon[:20])
				default:
					_, _ = w.Write(daemon)
				}
			}))
			defer srv.Close()
			out, err := m.boot(srv.URL+"/v1/download/cbnetd-linux-amd64", sha256.Sum256(daemon))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			args := m.read("args")
			if strings.Contains(args, secret) || !strings.HasPrefix(args, "install --join /") ||
				!strings.HasSuffix(args, "/token --network aws/ap-northeast-2/shop-1a2b3c4d --interface cbn0 --port 51820 --exec") {
				t.Errorf("called with %q", args)
			}
			if got := m.read("token"); got != secret {
				t.Errorf("token file holds %q", got)
			}
			if got := m.read("modes"); got != "600\n700" {
				t.Errorf("modes of token and daemon: %q", got)
			}
			if got := m.read("slept"); got != "1\n2" {
				t.Errorf("slept %q", got)
			}
			for _, want := range []string{"cbnet: download of https://127.0.0.1:", "its SHA-256 is", "trying again in 2 s", "the daemon is installed"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

func TestUserDataGivesUp(t *testing.T) {
	m := newMachine(t, "curl")
	daemon := m.daemon(1)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(daemon) }))
	defer srv.Close()
	out, err := m.boot(srv.URL, sha256.Sum256(daemon), "patience=600", "patience=0")
	if err == nil || !strings.Contains(out, "cannot write the unit") || !strings.Contains(out, "giving up") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestUserDataWithoutAnyFetcher(t *testing.T) {
	m := newMachine(t, "true")
	out, err := m.boot("https://127.0.0.1:1/", sha256.Sum256(nil), "patience=600", "patience=0")
	if err == nil || !strings.Contains(out, "none of curl, wget and python3 is there") {
		t.Errorf("%v\n%s", err, out)
	}
}
