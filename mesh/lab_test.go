package mesh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/mesh/meshtest"
	"github.com/cbnet-io/cbnet/overlay"
)

// lab is a mesh in one process, in synctest's time.
type lab struct {
	t      *testing.T
	fabric *meshtest.Fabric
	ca     *identity.CA
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return &lab{t: t, fabric: meshtest.NewFabric(), ca: newCA(t, "test")}
}

func newCA(t *testing.T, name string) *identity.CA {
	t.Helper()
	m, err := identity.NewMesh(name, netip.MustParsePrefix("10.66.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(m, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newBundle issues a certificate for the n-th node of a mesh.
func newBundle(t *testing.T, ca *identity.CA, name string, n int, roles ...identity.Role) *identity.Bundle {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g := identity.Grant{Node: name, IP: overlayIP(n), Roles: roles}
	cert, err := ca.Issue(pub, g, time.Now(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return &identity.Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{ca.Certificate}, Introducers: []string{introducerAddr}}
}

func overlayIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 66, byte(n >> 8), byte(n)}) }

// publicIP is the underlay address of the n-th host.
func publicIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}) }

// The first node introduces the others.
const introducerAddr = "198.18.0.1:7950"

// node is one member: what survives its restarts, and its present run.
type node struct {
	t      *testing.T
	name   string
	host   *meshtest.Host
	cfg    mesh.Config
	log    *logBuffer
	mesh   *mesh.Mesh
	cancel context.CancelFunc
	end    context.CancelCauseFunc
	done   chan error
}

// add makes the n-th node, on a host with a public address, and starts nothing.
func (l *lab) add(n int, roles ...identity.Role) *node {
	l.t.Helper()
	name := fmt.Sprintf("node-%d", n)
	host := l.fabric.Host(name, netip.PrefixFrom(publicIP(n), 32))
	return l.addOn(host, newBundle(l.t, l.ca, name, n, roles...))
}

func (l *lab) addOn(host *meshtest.Host, b *identity.Bundle) *node {
	l.t.Helper()
	var key overlay.Key
	if _, err := rand.Read(key[:]); err != nil {
		l.t.Fatal(err)
	}
	n := &node{t: l.t, name: host.Name, host: host, log: &logBuffer{}}
	n.cfg = mesh.Config{
		Bundle: b, Device: host, Net: host, StateDir: l.t.TempDir(), PrivateKey: key, Port: 51820,
		Log: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	return n
}

// introducer adds the first node.
func (l *lab) introducer() *node {
	l.t.Helper()
	n := l.add(1, identity.RoleIntroducer)
	n.cfg.Introduce = introducerAddr
	return n
}

// start runs the node until stop or crash.
func (n *node) start() *node {
	n.t.Helper()
	m, err := mesh.New(n.cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, end := context.WithCancelCause(context.Background())
	cancel := func() { end(nil) }
	done, ended := make(chan error, 1), make(chan struct{})
	n.mesh, n.cancel, n.done = m, cancel, done
	n.end = end
	go func() {
		defer close(ended)
		done <- m.Run(ctx)
	}()
	n.t.Cleanup(func() { cancel(); <-ended })
	return n
}

// stop ends the node as SIGTERM does.
func (n *node) stop() {
	n.t.Helper()
	n.cancel()
	if err := <-n.done; err != nil {
		n.t.Errorf("%s: Run: %v", n.name, err)
	}
}

// replaced ends the node's mesh as if another were to take over.
func (n *node) replaced() {
	n.t.Helper()
	n.end(mesh.ErrReplaced)
	if err := <-n.done; err != nil {
		n.t.Errorf("%s: Run: %v", n.name, err)
	}
}

// wait returns why Run ended by itself.
func (n *node) wait() error {
	select {
	case err := <-n.done:
		return err
	case <-time.After(10 * time.Second):
		n.cancel()
		return errors.Join(errors.New("still running"), <-n.done)
	}
}

// crash ends the node as kill -9 does: nobody hears of it.
func (n *node) crash() {
	n.t.Helper()
	n.host.Crash()
	n.cancel()
	<-n.done
}

// peer returns what the node says of another.
func (n *node) peer(name string) mesh.Peer {
	for _, p := range n.mesh.Peers() {
		if p.Name == name {
			return p
		}
	}
	return mesh.Peer{}
}

// reaches reports whether packets pass from the node to another.
func (n *node) reaches(to *node) bool {
	a, b := n.mesh.Grant(), to.mesh.Grant()
	return n.host.Ping(a.IP, b.IP) && n.host.Ping(a.IP6, b.IP6)
}

// eventually waits until the condition holds, and returns how long it took.
func eventually(t *testing.T, within time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > within {
			t.Fatalf("not within %s: %s", within, what)
		}
		pause(20 * time.Millisecond)
	}
	return time.Since(start)
}

// pause lets time pass in a synctest bubble.
func pause(d time.Duration) { <-time.After(d) }

// allUp reports whether every node has every other one up.
func allUp(nodes ...*node) bool {
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b && (a.peer(b.name).State != mesh.StateUp || !a.reaches(b)) {
				return false
			}
		}
	}
	return true
}

// logBuffer collects a node's log.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns the log so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble runs a test in synctest's time: minutes pass in milliseconds.
// Memberlist's last probes end only after its Shutdown, so they get the time.
func inBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { pause(30 * time.Second) }) // the last clean-up to run
		f(t)
	})
}
