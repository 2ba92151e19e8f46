package guest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/test/kernel/guest"
)

func TestLookup(t *testing.T) {
	const table = "boot /m/a.ko /m/b.ko\nrtnl-link-wireguard /m/wg.ko\nwireguard /m/wg.ko\nempty\n\n"
	for _, tt := range []struct {
		name string
		ask  string
		want []string
		ok   bool
	}{
		{"several", "boot", []string{"/m/a.ko", "/m/b.ko"}, true},
		{"alias", "rtnl-link-wireguard", []string{"/m/wg.ko"}, true},
		{"underscores", "rtnl_link_wireguard", []string{"/m/wg.ko"}, true},
		{"built in", "empty", []string{}, true},
		{"unknown", "wire", nil, false},
		{"nothing", "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := guest.Lookup(table, tt.ask)
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("ok %t, want %t; files (-want +got):\n%s", ok, tt.ok, d)
			}
		})
	}
}

func TestParseParams(t *testing.T) {
	got := guest.ParseParams("console=ttyS0 quiet guest.name=a guest.addrs=192.0.2.1/24,2001:db8::1/64 x=y=z\n")
	want := map[string]string{"console": "ttyS0", "guest.name": "a", "guest.addrs": "192.0.2.1/24,2001:db8::1/64", "x": "y=z"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParsePrefixes(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []netip.Prefix
	}{
		{"one", "192.0.2.1/24", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
		{"two", "192.0.2.1/24,2001:db8::1/64", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")}},
		{"none", "", nil},
		{"no length", "192.0.2.1", nil},
		{"end missing", "192.0.2.1/24,", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := guest.ParsePrefixes(tt.in)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err == nil && d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// post sends a request and decodes the answer, if it is a success.
func post(t *testing.T, h http.Handler, path string, in any) (int, guest.Result, string) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body)))
	var r guest.Result
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, r, w.Body.String()
}

func TestRun(t *testing.T) {
	h := guest.NewServer()
	for _, tt := range []struct {
		name string
		in   guest.RunRequest
		code int
		want guest.Result
		text string // of an error
	}{
		{"success", guest.RunRequest{Args: []string{"sh", "-c", "echo out; echo err >&2"}, Timeout: time.Minute}, 200, guest.Result{Stdout: "out\n", Stderr: "err\n"}, ""},
		{"failure", guest.RunRequest{Args: []string{"sh", "-c", "echo no; exit 7"}, Timeout: time.Minute}, 200, guest.Result{Exit: 7, Stdout: "no\n"}, ""},
		{"signal", guest.RunRequest{Args: []string{"sh", "-c", "kill -9 $$"}, Timeout: time.Minute}, 200, guest.Result{Exit: -1}, ""},
		{"too long", guest.RunRequest{Args: []string{"sh", "-c", "echo started; exec sleep 60"}, Timeout: time.Second}, 500, guest.Result{}, "did not end within 1s: started"},
		{"no such program", guest.RunRequest{Args: []string{"/nonexistent"}, Timeout: time.Minute}, 500, guest.Result{}, "no such file"},
		{"nothing", guest.RunRequest{}, 500, guest.Result{}, "want a command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, got, text := post(t, h, "/run", tt.in)
			if d := cmp.Diff(tt.want, got); d != "" || code != tt.code || !strings.Contains(text, tt.text) {
				t.Errorf("code %d %s; (-want +got):\n%s", code, text, d)
			}
		})
	}
}

func TestStartAndSignal(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := guest.NewServer()
	ready := filepath.Join(t.TempDir(), "ready")
	trap := "trap 'exit 3' TERM; : > " + ready + "; while :; do sleep 0.05; done"
	start := guest.StartRequest{Name: "d", Args: []string{"sh", "-c", trap}}
	if code, _, text := post(t, h, "/start", start); code != 200 {
		t.Fatal(text)
	}
	if code, _, text := post(t, h, "/start", start); code == 200 || !strings.Contains(text, "runs already") {
		t.Errorf("a second start: code %d %s", code, text)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, err := os.Stat(ready); err != nil; _, err = os.Stat(ready) {
		if time.Now().After(deadline) {
			t.Fatal("the command did not start")
		}
	}
	stop := guest.SignalRequest{Name: "d", Signal: int(syscall.SIGTERM), Timeout: 10 * time.Second}
	if code, r, text := post(t, h, "/signal", stop); code != 200 || r.Exit != 3 {
		t.Errorf("code %d, exit %d, want 3; %s", code, r.Exit, text)
	}
	if code, _, text := post(t, h, "/signal", stop); code == 200 || !strings.Contains(text, "does not run") {
		t.Errorf("a second signal: code %d %s", code, text)
	}
	// It may be started again, and one that ignores the signal is reported.
	start.Args = []string{"sleep", "60"}
	if code, _, text := post(t, h, "/start", start); code != 200 {
		t.Fatal(text)
	}
	stop.Signal, stop.Timeout = int(syscall.SIGCONT), 50*time.Millisecond
	if code, _, text := post(t, h, "/signal", stop); code == 200 || !strings.Contains(text, "did not end") {
		t.Errorf("an ignored signal: code %d %s", code, text)
	}
	stop.Signal, stop.Timeout = int(syscall.SIGKILL), 10*time.Second
	if code, r, text := post(t, h, "/signal", stop); code != 200 || r.Exit != -1 {
		t.Errorf("code %d, exit %d, want -1; %s", code, r.Exit, text)
	}
}

func TestFile(t *testing.T) {
	h := guest.NewServer()
	path := filepath.Join(t.TempDir(), "a", "b")
	if code, _, text := post(t, h, "/file", guest.File{Path: path, Mode: 0o600, Data: []byte{0, 255}}); code != 200 {
		t.Fatal(text)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, []byte{0, 255}) {
		t.Errorf("got %v, %v", got, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestBadRequest(t *testing.T) {
	w := httptest.NewRecorder()
	guest.NewServer().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/run", strings.NewReader("{")))
	if w.Code != http.StatusBadRequest {
		t.Errorf("code %d, want 400", w.Code)
	}
}

// TestNeither: an ordinary program is not taken for a machine's.
func TestNeither(t *testing.T) {
	if guest.IsInit() || guest.IsModprobe() {
		t.Error("a test is taken for init or modprobe")
	}
}

func FuzzLookup(f *testing.F) {
	f.Add("boot /m/a.ko\n", "boot")
	f.Add("a-b c", "a_b")
	f.Fuzz(func(t *testing.T, table, name string) {
		files, ok := guest.Lookup(table, name)
		if !ok && files != nil {
			t.Errorf("files %q of an unknown module", files)
		}
	})
}
