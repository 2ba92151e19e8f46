package node_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net/netip"
	"path/filepath"
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
