package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/node/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type backend struct {
	left    bool
	revoked []byte
	renewed []byte
}

func (b *backend) Status() control.Status {
	return control.Status{
		Name: "a", Mesh: "m", IP: "10.66.0.2", IP6: "fd00::2", Interface: "cbn0", Datapath: "kernel", Port: 51820,
		Peers: control.Counts{Up: 1, Away: 2}, Phase: control.PhaseRunning, Version: "v1", Pid: 7,
	}
}

func (b *backend) Peers() []control.Peer { return nil }

func (b *backend) Ping(_ context.Context, name string) (control.Ping, error) {
	switch name {
	case "b":
		return control.Ping{Name: "b", IP: "10.66.0.3", RTTMs: 1.5, Via: "icmp"}, nil
	case "c":
		return control.Ping{}, errors.New("out of order")
	}
	return control.Ping{}, &control.Error{Status: http.StatusNotFound, Message: "no node named " + name}
}

func (b *backend) Leave(context.Context) error { b.left = true; return nil }

func (b *backend) Revoke(_ context.Context, signed []byte) error { b.revoked = signed; return nil }

func (b *backend) Renew(_ context.Context, bundle []byte) (control.Renewal, error) {
	b.renewed = bundle
	return control.Renewal{Name: "a", Changed: true}, nil
}

// serve starts a server on a socket of its own and stops it with the test.
func serve(t *testing.T, b control.Backend) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "x.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- control.Serve(ctx, l, b) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket after Serve: %v, want it gone", err)
		}
	})
	return path
}

func TestRoundTrip(t *testing.T) {
	b := &backend{}
	path := serve(t, b)
	c := control.Dial(path)
	ctx := t.Context()

	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fi.Mode().Perm(), os.FileMode(0o600); got != want {
		t.Errorf("mode of the socket: %v, want %v", got, want)
	}
	status, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.Status(), status); d != "" {
		t.Errorf("Status (-want +got):\n%s", d)
	}
	peers, err := c.Peers(ctx)
	if err != nil || peers == nil || len(peers) != 0 {
		t.Errorf("Peers: %v, %v; want an empty list", peers, err)
	}
	if err := c.Leave(ctx); err != nil || !b.left {
		t.Errorf("Leave: %v, left %v", err, b.left)
	}
	if err := c.Revoke(ctx, []byte("list")); err != nil || string(b.revoked) != "list" {
		t.Errorf("Revoke: %v, got %q", err, b.revoked)
	}
	if err := c.Revoke(ctx, make([]byte, control.MaxRevocations+1)); err == nil {
		t.Error("Revoke of an oversize list: no error")
	}
	if r, err := c.Renew(t.Context(), []byte("bundle")); err != nil || !r.Changed || string(b.renewed) != "bundle" {
		t.Errorf("Renew: %+v, %v, the daemon got %q", r, err, b.renewed)
	}
	if _, err := c.Renew(t.Context(), make([]byte, control.MaxBundle+1)); err == nil {
		t.Error("Renew with an oversize bundle: no error")
	}
}

func TestPing(t *testing.T) {
	c := control.Dial(serve(t, &backend{}))
	for _, tt := range []struct {
		name       string
		node       string
		want       control.Ping
		wantStatus int
		wantText   string
	}{
		{name: "answers", node: "b", want: control.Ping{Name: "b", IP: "10.66.0.3", RTTMs: 1.5, Via: "icmp"}},
		{name: "unknown", node: "x y", wantStatus: 404, wantText: "no node named x y"},
		{name: "fault of the daemon", node: "c", wantStatus: 500, wantText: "out of order"},
		{name: "no name", node: "", wantStatus: 400, wantText: "ping: want ?name=NODE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Ping(t.Context(), tt.node)
			if tt.wantStatus == 0 {
				if err != nil || got != tt.want {
					t.Fatalf("Ping: %+v, %v; want %+v", got, err, tt.want)
				}
				return
			}
			e, ok := errors.AsType[*control.Error](err)
			if !ok || e.Status != tt.wantStatus || e.Message != tt.wantText {
				t.Fatalf("Ping: %#v, want status %d, text %q", err, tt.wantStatus, tt.wantText)
			}
		})
	}
}

// TestWireForm holds the JSON names that users rely on.
func TestWireForm(t *testing.T) {
	rtt, when := 1.25, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name string
		in   any
		want string
	}{
		{
			name: "status",
			in:   (&backend{}).Status(),
			want: `{"name":"a","mesh":"m","ip":"10.66.0.2","ip6":"fd00::2","interface":"cbn0","datapath":"kernel","port":51820,` +
				`"peers":{"up":1,"connecting":0,"unreachable":0,"away":2},"phase":"running","version":"v1","pid":7}`,
		},
		{
			name: "peer",
			in: control.Peer{
				Name: "b", IP: "10.66.0.3", IP6: "fd00::3", Groups: []string{"g"}, Path: "public", Endpoint: "192.0.2.1:51820",
				RTTMs: &rtt, LastHandshake: &when, RxBytes: 1, TxBytes: 2, State: control.StateUp,
			},
			want: `{"name":"b","ip":"10.66.0.3","ip6":"fd00::3","groups":["g"],"path":"public","endpoint":"192.0.2.1:51820",` +
				`"rttMs":1.25,"lastHandshake":"2026-01-02T03:04:05Z","rxBytes":1,"txBytes":2,"state":"up"}`,
		},
		{
			name: "peer never heard",
			in:   control.Peer{Name: "c", Groups: []string{}, State: control.StateConnecting},
			want: `{"name":"c","ip":"","ip6":"","groups":[],"path":"","endpoint":"","rttMs":null,"lastHandshake":null,` +
				`"rxBytes":0,"txBytes":0,"state":"connecting"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, string(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestListen(t *testing.T) {
	t.Run("replaces what a crash left", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.sock")
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		old.Close()
		l, err := control.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	})
	t.Run("refuses one in use", func(t *testing.T) {
		path := serve(t, &backend{})
		if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "another daemon") {
			t.Fatalf("Listen: %v, want a refusal", err)
		}
		if _, err := control.Dial(path).Status(t.Context()); err != nil {
			t.Fatalf("Status of the first: %v", err)
		}
	})
}

func TestNoDaemon(t *testing.T) {
	_, err := control.Dial(filepath.Join(t.TempDir(), "none.sock")).Status(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no daemon listens on") {
		t.Fatalf("Status: %v, want a hint", err)
	}
}

func TestCheckSocketPath(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		want       bool
	}{
		{"default", control.DefaultSocket("cbn0"), true},
		{"relative", "x.sock", false},
		{"too long", "/" + strings.Repeat("x", 100), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := control.CheckSocketPath(tt.path) == nil; got != tt.want {
				t.Errorf("fit: %v, want %v", got, tt.want)
			}
		})
	}
}

// A --socket that names a file must not cost the file.
func TestListenKeepsOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(path, []byte("root"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := control.Listen(path); err == nil {
		l.Close()
		t.Error("Listen: no error")
	}
	if got, err := os.ReadFile(path); string(got) != "root" {
		t.Errorf("the file: %q, %v", got, err)
	}
}

func TestCleanup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	leave := func(name string) net.Listener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		return l
	}
	for _, n := range []string{path, path + ".1f"} {
		if err := leave(n).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path+".log", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := control.Cleanup(path); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{path + ".log"}, left); d != "" {
		t.Error(d)
	}
	l := leave(path)
	defer l.Close()
	if err := control.Cleanup(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a socket that answers: %v", err)
	}
}
