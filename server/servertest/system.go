package servertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/api"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server"
	"github.com/cbnet-io/cbnet/server/pki"
)

// Disk is what a control plane leaves behind: a new System on the same Disk is
// the same server after a restart.
type Disk struct {
	Store Store
	World *mcistest.World // of its clouds
	Dir   string          // of the audit log and the daemon to download
	Addr  string          // of the API; set by the first start
	token string
}

// NewDisk returns an empty disk that ends with the test.
func NewDisk(t testing.TB) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir(), Addr: "127.0.0.1:0", World: mcistest.New(1)}
	if err := os.WriteFile(filepath.Join(d.Dir, "cbnetd"), []byte("the daemon"), 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

// System is a whole control plane over HTTPS, with fakes for what it drives.
type System struct {
	PKI    *pki.Service
	Clouds *server.Clouds
	MCIS   *MCIS
	Node   *Node
	Server *server.Server
	Log    *Log
	// Context lets a client in.
	Context api.Context

	dir  string
	stop context.CancelFunc
	done chan error
	once sync.Once
	t    testing.TB
}

// Start starts a control plane. It stops with the test, or by Stop.
func Start(t testing.TB, d *Disk) *System {
	t.Helper()
	s := &System{Node: NewNode(), Log: &Log{}, dir: d.Dir, done: make(chan error, 1), t: t}
	l, err := listen(d)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if err := s.open(ctx, d, log); err != nil {
		t.Fatal(err)
	}
	certs, err := server.NewCertificates(s.PKI, []string{"localhost", "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	members := server.NewMembers(s.Node, s.PKI, log)
	if err := s.wire(ctx, d, members, log); err != nil {
		t.Fatal(err)
	}
	s.Context = api.Context{Format: api.ContextFormat, Name: "test", URL: "https://" + d.Addr, CA: s.PKI.CAPEM(), Token: api.Secret(d.token)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return members.Run(ctx) })
	g.Go(func() error { return s.Server.Run(ctx, tls.NewListener(l, certs.Config())) })
	go func() { s.done <- g.Wait() }()
	t.Cleanup(s.Stop)
	return s
}

// listen takes the address of an earlier start again.
func listen(d *Disk) (net.Listener, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	giveUp := time.Now().Add(5 * time.Second)
	for {
		l, err := net.Listen("tcp", d.Addr)
		if err == nil {
			d.Addr = l.Addr().String()
			return l, nil
		}
		if (<-tick.C).After(giveUp) {
			return nil, err
		}
	}
}

func (s *System) open(ctx context.Context, d *Disk, log *slog.Logger) error {
	var err error
	s.PKI, err = pki.Open(ctx, &d.Store, pki.Config{
		Mesh: "test", URL: "https://" + d.Addr, Introducers: []string{"192.0.2.1:7950"},
		AuditFile: filepath.Join(d.Dir, "audit.log"), Log: log,
	})
	if err != nil {
		return err
	}
	s.Clouds = server.NewClouds(&d.Store, d.driver)
	s.MCIS = NewMCIS(s.Clouds)
	return nil
}

func (s *System) wire(ctx context.Context, d *Disk, members *server.Members, log *slog.Logger) error {
	admin, err := s.PKI.EnsureAdmin(ctx, func(token string) error {
		d.token = token
		return nil
	})
	if err != nil {
		return err
	}
	download, err := server.OpenDownload(filepath.Join(d.Dir, "cbnetd"))
	if err != nil {
		return err
	}
	s.t.Cleanup(func() {
		if err := download.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.Server, err = server.New(server.Deps{
		PKI: s.PKI, Admin: admin, Clouds: s.Clouds, MCIS: s.MCIS, Members: members, Remote: s.Node, Download: download, Log: log,
	})
	return err
}

// Dir is where the audit log is.
func (s *System) Dir() string { return s.dir }

// Stop ends the control plane and waits. It may be called twice.
func (s *System) Stop() {
	s.once.Do(func() {
		s.stop()
		if err := errors.Join(<-s.done, s.PKI.Close()); err != nil {
			s.t.Errorf("server: %v", err)
		}
	})
}

// Client returns a client of the administrator.
func (s *System) Client(opts ...api.Option) *api.Client {
	s.t.Helper()
	c, err := api.NewClient(s.Context, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// Log keeps what was logged.
type Log struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
