package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
)

func TestNewTouchesNothing(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	newNode(t, c)
	for _, path := range []string{c.State, c.Socket} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want it not to exist", path, err)
		}
	}
}

func TestLife(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	c.Network, c.Advertise = "aws/r/n", []netip.Addr{netip.MustParseAddr("192.0.2.9")}
	m, d := newFakeMesh(), &fakeDevice{}
	var got mesh.Config
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: m, Device: d, Config: func(c mesh.Config) { got = c }})
	r := start(t, n, c)
	r.until("mesh", func() error {
		s, err := r.c.Status(t.Context())
		if err == nil && s.Datapath == "" {
			err = errors.New("no datapath yet")
		}
		return err
	})
	s, err := r.c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "a" || s.Mesh != "m" || s.IP != l.ip.String() || s.IP6 == "" || s.Interface != "cbt0" ||
		s.Datapath != "userspace" || s.Port != 40000 || s.Phase != control.PhaseStarting || s.Pid != os.Getpid() || s.Expires == nil {
		t.Errorf("status: %+v", s)
	}
	if got.Network != c.Network || got.StateDir != c.State || got.Port != 40000 || len(got.Advertise) != 1 || got.PrivateKey.IsZero() || got.Registerer == nil {
		t.Errorf("config of the mesh: %+v", got)
	}
	if fi, err := os.Stat(c.State); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("state folder: %v, %v", fi, err)
	}
	select {
	case <-n.Ready():
		t.Error("ready before the mesh is")
	default:
	}
	close(m.ready)
	r.phase(control.PhaseRunning)
	<-n.Ready()
	r.checkPeers(m)
	r.cancel()
	if err := r.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if d.closed != 1 {
		t.Errorf("the device was closed %d times, want once", d.closed)
	}
}

func (r *running) checkPeers(m *fakeMesh) {
	t := r.t
	t.Helper()
	m.mu.Lock()
	m.peers = []mesh.Peer{
		{Name: "b", IP: netip.MustParseAddr("127.0.0.1"), State: mesh.StateUp, RTT: 1500 * time.Microsecond, Path: mesh.PathPublic,
			Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), LastHandshake: time.Now(), Roles: []identity.Role{identity.RoleRelay}},
		{Name: "c", State: mesh.StateAway, Reason: "it stopped"},
	}
	m.mu.Unlock()
	m.changed <- struct{}{}
	select {
	case <-r.Changed():
	case <-time.After(10 * time.Second):
		t.Error("Changed tells nothing")
	}
	peers, err := r.c.Peers(t.Context())
	if err != nil || len(peers) != 2 {
		t.Fatalf("peers: %+v, %v", peers, err)
	}
	if b := peers[0]; b.RTTMs == nil || *b.RTTMs != 1.5 || b.LastHandshake == nil || b.Path != "public" || b.Endpoint != "192.0.2.2:51820" || len(b.Roles) != 1 || b.Groups == nil {
		t.Errorf("peer: %+v", b)
	}
	if c := peers[1]; c.RTTMs != nil || c.LastHandshake != nil || c.Endpoint != "" || c.State != "away" {
		t.Errorf("peer: %+v", c)
	}
	if s, err := r.c.Status(t.Context()); err != nil || s.Peers != (control.Counts{Up: 1, Away: 1}) {
		t.Errorf("counts: %+v, %v", s.Peers, err)
	}
	if _, err := r.c.Ping(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "a is this node") {
		t.Errorf("ping of itself: %v", err)
	}
	if err := r.c.Revoke(t.Context(), []byte("list")); err != nil || string(m.revoked) != "list" {
		t.Errorf("revoke: %v", err)
	}
	err = r.c.Revoke(t.Context(), nil)
	if e, ok := errors.AsType[*control.Error](err); !ok || e.Status != http.StatusBadRequest {
		t.Errorf("revoke of an empty list: %v", err)
	}
}

func TestLeaveEndsRun(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	d := &fakeDevice{}
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: newFakeMesh(), Device: d})
	r := start(t, n, c)
	r.until("leave", func() error { return r.c.Leave(t.Context()) }) // refused until the mesh is there
	if err := r.end(); err != nil || d.closed != 1 {
		t.Errorf("Run: %v, device closed %d times; want no error and once", err, d.closed)
	}
}

func TestAPartThatFailsEndsRun(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	m, d := newFakeMesh(), &fakeDevice{}
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: m, Device: d})
	r := start(t, n, c)
	bad := errors.New("broken")
	m.fail <- bad
	if err := r.end(); !errors.Is(err, bad) || d.closed != 1 {
		t.Errorf("Run: %v, device closed %d times; want %v and once", err, d.closed, bad)
	}
	if _, err := os.Stat(c.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket: %v, want it gone", err)
	}
}

func TestTakenPortIsExplained(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	m := newFakeMesh()
	m.fail <- fmt.Errorf("device: %w", syscall.EADDRINUSE)
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}})
	if err := n.Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "choose another with --port") {
		t.Errorf("Run: %v", err)
	}
}

func TestTeardownHasADeadline(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	d := &fakeDevice{stuck: make(chan struct{})}
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: newFakeMesh(), Device: d})
	r := start(t, n, c)
	r.until("mesh", func() error { _, err := r.c.Ping(t.Context(), "a"); return ifRunning(err) })
	begin := time.Now()
	r.cancel()
	err := r.end()
	if took := time.Since(begin); err == nil || !strings.Contains(err.Error(), "teardown") || took > 8*time.Second {
		t.Errorf("Run: %v after %v, want an error after 5 s", err, took)
	}
	close(d.stuck)
}

// ifRunning drops the refusals of a node that has its mesh.
func ifRunning(err error) error {
	if e, ok := errors.AsType[*control.Error](err); ok && e.Status != http.StatusServiceUnavailable {
		return nil
	}
	return err
}

func TestSecondDaemonOnOneState(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: newFakeMesh(), Device: &fakeDevice{}})
	r := start(t, n, c)
	defer func() { r.cancel(); _ = r.end() }()

	second := newNode(t, c)
	second.Use(node.Fakes{Fabric: newFakeMesh(), Device: &fakeDevice{}})
	err := second.Run(t.Context())
	e, ok := errors.AsType[*node.LockedError](err)
	if !ok || e.Pid != os.Getpid() || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("second Run: %v, want a LockedError with pid %d", err, os.Getpid())
	}
	c.State = l.path("other")
	third := newNode(t, c)
	third.Use(node.Fakes{Fabric: newFakeMesh(), Device: &fakeDevice{}})
	if err := third.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("Run on the same socket: %v", err)
	}
	if _, err := r.c.Status(t.Context()); err != nil {
		t.Errorf("status of the first: %v", err)
	}
}

func TestWithoutRightsNothingChanges(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	n := newNode(t, c)
	n.Use(node.Fakes{Privilege: node.ErrPrivilege, Stdin: io.LimitReader(nil, 0)})
	if err := n.Run(t.Context()); !errors.Is(err, node.ErrPrivilege) {
		t.Errorf("Run: %v, want ErrPrivilege", err)
	}
	if _, err := os.Stat(c.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state: %v, want it not to exist", err)
	}
}

func TestWireGuardKeyIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	first, err := node.WireGuardKey(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := node.WireGuardKey(path)
	if err != nil || first != second || first.IsZero() {
		t.Errorf("keys differ or are zero, %v", err)
	}
	if err := os.WriteFile(path, []byte("secret nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.WireGuardKey(path); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken key: %v, want an error that does not repeat it", err)
	}
}

// A folder that is not ours keeps its mode: the daemon's is 0700, and /tmp with
// that would be the end of many programs.
func TestForeignStateFolderIsRefused(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		name  string
		files []string
		want  bool // it is taken
	}{
		{"empty", nil, true},
		{"a file system of its own", []string{"lost+found"}, true},
		{"an earlier daemon's, its lock lost", []string{"peers.json", "x"}, true},
		{"somebody else's", []string{"passwd"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := l.config("a")
			c.State = t.TempDir()
			if err := os.Chmod(c.State, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.files {
				if err := os.WriteFile(filepath.Join(c.State, f), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m := newFakeMesh()
			m.fail <- errors.New("far enough")
			n := newNode(t, c)
			n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}})
			err := n.Run(t.Context())
			if _, refused := errors.AsType[*node.InputError](err); refused == tt.want {
				t.Errorf("Run: %v", err)
			}
			fi, err := os.Stat(c.State)
			if err != nil {
				t.Fatal(err)
			}
			if ours := fi.Mode().Perm() == 0o700; ours != tt.want {
				t.Errorf("mode %v", fi.Mode())
			}
		})
	}
}

// What kill -9 left half-written is gone after the next start.
func TestStartSweepsUnfinishedFiles(t *testing.T) {
	l := newLab(t)
	c := l.config("a")
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"lock", ".bundle.json.123", ".identity.key.99", ".hidden"} {
		if err := os.WriteFile(filepath.Join(c.State, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := newFakeMesh()
	m.fail <- errors.New("far enough")
	n := newNode(t, c)
	n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}})
	_ = n.Run(t.Context())
	left, err := filepath.Glob(filepath.Join(c.State, ".*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != ".hidden" {
		t.Errorf("left: %v, %v; want .hidden alone", left, err)
	}
}

func TestSecretsThatOthersMayReadAreReported(t *testing.T) {
	l := newLab(t)
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true} {
		c := l.config("a")
		if err := os.Chmod(c.Bundle, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer // read after Run alone
		n, err := node.New(c, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		m := newFakeMesh()
		m.fail <- errors.New("far enough")
		n.Use(node.Fakes{Fabric: m, Device: &fakeDevice{}})
		_ = n.Run(t.Context())
		if got := strings.Contains(log.String(), "chmod 600"); got != want {
			t.Errorf("mode %v: reported %v, want %v", mode, got, want)
		}
	}
}
