package mesh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

type noDevice struct{}

func (noDevice) Set(context.Context, overlay.Config) error { return nil }
func (noDevice) Peers() ([]overlay.PeerStatus, error)      { return nil, nil }

// still makes a mesh that does not run.
func still(t *testing.T) *Mesh {
	t.Helper()
	cidr, err := identity.NewMesh("test", netip.MustParsePrefix("10.66.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := identity.NewCA(cidr, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pub, identity.Grant{Node: "a", IP: netip.MustParseAddr("10.66.0.1")}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Config{
		Bundle: &identity.Bundle{Certificate: cert, Key: key, CAs: []*x509.Certificate{ca.Certificate}},
		Device: noDevice{}, StateDir: t.TempDir(), PrivateKey: overlay.Key{1}, Port: 51820,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestGarbageAtTheIntroducer: ten thousand connections over the real loopback
// cost neither memory nor goroutines that stay.
func TestGarbageAtTheIntroducer(t *testing.T) {
	m := still(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := m.newIntroducer(l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); i.run(ctx) }()
	defer func() { cancel(); <-done }()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := 0
	garbage := bytes.Repeat([]byte("garbage"), 100)
	for n := range 10_000 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(garbage[:n%len(garbage)]) // it may be cut off
		closeQuietly(c)
		if n%100 == 0 {
			most = max(most, runtime.NumGoroutine())
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 || most > 2*maxPerSource {
		t.Errorf("the heap grew by %d bytes, %d goroutines at most", grown, most)
	}
	if got := len(i.prefaces.seen); got != 0 {
		t.Errorf("%d strangers' prefaces remembered", got)
	}
}
