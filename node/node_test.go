package node_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/node"
	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/overlay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMesh is a mesh that does what the test says.
type fakeMesh struct {
	ready, changed, left chan struct{}
	fail                 chan error

	mu      sync.Mutex
	peers   []mesh.Peer
	revoked []byte
}

func newFakeMesh() *fakeMesh {
	return &fakeMesh{ready: make(chan struct{}), changed: make(chan struct{}, 1), left: make(chan struct{}), fail: make(chan error, 1)}
}

func (m *fakeMesh) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-m.left:
	case err := <-m.fail:
		return err
	}
	return nil
}

func (m *fakeMesh) Ready() <-chan struct{}   { return m.ready }
func (m *fakeMesh) Changed() <-chan struct{} { return m.changed }

func (m *fakeMesh) Peers() []mesh.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]mesh.Peer(nil), m.peers...)
}

func (m *fakeMesh) Leave(context.Context) error { close(m.left); return nil }

func (m *fakeMesh) Revoke(_ context.Context, signed []byte) error {
	if len(signed) == 0 {
		return fmt.Errorf("empty list: %w", identity.ErrFormat)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = signed
	return nil
}

// fakeDevice notes that it was closed.
type fakeDevice struct {
	mu     sync.Mutex
	closed int
	stuck  chan struct{} // Close waits for it, if there is one
}

func (d *fakeDevice) Set(context.Context, overlay.Config) error { return nil }
func (d *fakeDevice) Peers() ([]overlay.PeerStatus, error)      { return nil, nil }
func (d *fakeDevice) Datapath() overlay.Datapath                { return overlay.Userspace }
func (d *fakeDevice) Close() error {
	if d.stuck != nil {
		<-d.stuck
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

// lab makes nodes with certificates of one authority. Its prefix is a random
// one: nodes really listen on their overlay addresses.
type lab struct {
	t   *testing.T
	dir string
	ca  *identity.CA
	ip  netip.Addr
}

func newLab(t *testing.T) *lab {
	t.Helper()
	cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + mrand.IntN(100)), byte(mrand.IntN(256)), 0}), 24)
	m, err := identity.NewMesh("m", cidr)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, dir: t.TempDir(), ca: ca, ip: cidr.Addr()}
}

func (l *lab) bundle(name string, now time.Time, validity time.Duration, roles ...identity.Role) *identity.Bundle {
	l.t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	l.ip = l.ip.Next()
	cert, err := l.ca.Issue(pub, identity.Grant{Node: name, IP: l.ip, Roles: roles}, now, validity)
	if err != nil {
		l.t.Fatal(err)
	}
	b := &identity.Bundle{Certificate: cert, Key: key, Introducers: []string{"192.0.2.1:7950"}}
	b.CAs = append(b.CAs, l.ca.Certificate)
	return b
}

func (l *lab) path(what string) string { return filepath.Join(l.dir, what) }

// config is one for a node with a valid bundle.
func (l *lab) config(name string) node.Config {
	l.t.Helper()
	path := l.path(name + ".bundle")
	if err := l.bundle(name, time.Now(), time.Hour).Save(path); err != nil {
		l.t.Fatal(err)
	}
	return node.Config{Bundle: path, State: l.path(name), Socket: l.path(name + ".sock"), Interface: "cbt0", Port: 40000}
}

func newNode(t *testing.T, c node.Config) *node.Node {
	t.Helper()
	n, err := node.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// running is a node whose Run goes on.
type running struct {
	*node.Node
	t      *testing.T
	c      *control.Client
	cancel context.CancelFunc
	ended  chan error
}

// start runs a node until the test ends, and waits for its socket.
func start(t *testing.T, n *node.Node, c node.Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, t: t, c: control.Dial(c.Socket), cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	t.Cleanup(cancel)
	r.until("status", func() error { _, err := r.c.Status(t.Context()); return err })
	return r
}

// end waits for Run.
func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("Run did not end")
		return nil
	}
}

func (r *running) until(what string, f func() error) {
	r.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: %v", what, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (r *running) phase(want control.Phase) {
	r.t.Helper()
	r.until("phase "+string(want), func() error {
		s, err := r.c.Status(r.t.Context())
		if err == nil && s.Phase != want {
			err = fmt.Errorf("phase %s", s.Phase)
		}
		return err
	})
}

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
