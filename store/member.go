package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	// maxSocketPath is the longest path of a unix socket on Linux (sun_path),
	// its closing zero aside.
	maxSocketPath = 107
	// quota is the size of the database in bytes beyond which it refuses
	// writes: 1,000 nodes take some 30 MB with their history.
	quota = 2 << 30
	// retention is how long history is kept, for watchers that were away.
	retention = "15m"
	// peerURL is the member's name for itself in its own records. Nobody
	// listens there: the only member has no peers, and the name stays when the
	// directory moves.
	peerURL = "unix://cbnet-store:0"
)

// member is an embedded etcd.
type member struct {
	etcd    *embed.Etcd
	lock    *os.File
	sockets string // directory
	scratch bool   // sockets is a directory of its own, to be removed
}

// makeDir makes a directory that only its owner may enter.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// startMember locks dir and starts the member that lives there.
func startMember(ctx context.Context, dir string, log *zap.Logger) (_ *member, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	m := &member{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.stop())
		}
	}()
	if m.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if err := m.placeSockets(dir); err != nil {
		return nil, err
	}
	cfg, err := m.config(dir, log)
	if err != nil {
		return nil, err
	}
	if m.etcd, err = embed.StartEtcd(cfg); err != nil {
		return nil, fmt.Errorf("store: start etcd in %s: %w", dir, err)
	}
	select {
	case <-m.etcd.Server.ReadyNotify():
		return m, nil
	case err := <-m.etcd.Err():
		return nil, fmt.Errorf("store: start etcd in %s: %w", dir, err)
	case <-m.etcd.Server.StopNotify():
		return nil, fmt.Errorf("store: etcd in %s stopped by itself", dir)
	case <-ctx.Done():
		return nil, fmt.Errorf("store: start etcd in %s: %w", dir, ctx.Err())
	}
}

// placeSockets chooses the directory of the sockets: dir, or where its path is
// too long for a socket a private one with a short name.
func (m *member) placeSockets(dir string) error {
	m.sockets = dir
	if len(filepath.Join(dir, "client.sock")) <= maxSocketPath {
		return nil
	}
	sum := sha256.Sum256([]byte(dir))
	for _, base := range []string{"/run", os.TempDir(), "/tmp"} {
		short := filepath.Join(base, "cbnet-"+hex.EncodeToString(sum[:6]))
		if len(short)+len("/client.sock") > maxSocketPath {
			continue
		}
		// Ours alone: the lock on dir is held, and nobody else may have made it.
		if err := os.RemoveAll(short); err != nil {
			continue
		}
		if err := os.Mkdir(short, 0o700); err != nil {
			continue
		}
		m.sockets, m.scratch = short, true
		return nil
	}
	return fmt.Errorf("store: the path of %s is too long for a unix socket, and no short one can be made; use a shorter directory", dir)
}

func (m *member) socket(name string) string { return filepath.Join(m.sockets, name+".sock") }

// endpoint returns where clients connect.
func (m *member) endpoint() string { return "unix://" + m.socket("client") }

// config returns the settings of the member.
func (m *member) config(dir string, log *zap.Logger) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Name = "cbnet"
	cfg.Dir = filepath.Join(dir, "etcd")
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: m.socket("client")}}
	// The peer listener takes its address from the host part alone; without one
	// it would be an abstract socket, which every local user can reach.
	cfg.ListenPeerUrls = []url.URL{{Scheme: "unix", Host: m.socket("peer")}}
	self, err := url.Parse(peerURL)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	cfg.AdvertisePeerUrls = []url.URL{*self}
	cfg.AdvertiseClientUrls = []url.URL{*self}
	cfg.InitialCluster = cfg.Name + "=" + peerURL
	cfg.EnableGRPCGateway = false
	// The only member is its own leader: it need not wait long to find out.
	cfg.TickMs, cfg.ElectionMs = 20, 200
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, retention
	cfg.QuotaBackendBytes = quota
	cfg.MaxRequestBytes = 4 << 20 // of one transaction: 128 journal entries of up to 30 KB
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg, nil
}

// stop ends the member within closeTimeout and gives up the lock. What was
// acknowledged is on disk whatever happens.
func (m *member) stop() error {
	var err error
	if m.etcd != nil {
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.etcd.Close()
		}()
		select {
		case <-done:
		case <-time.After(closeTimeout):
			err = errors.New("store: etcd does not stop")
		}
		m.etcd = nil
	}
	if m.scratch {
		if e := os.RemoveAll(m.sockets); e != nil {
			err = errors.Join(err, fmt.Errorf("store: %w", e))
		}
		m.scratch = false
	}
	if m.lock != nil {
		if e := m.lock.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("store: unlock: %w", e))
		}
		m.lock = nil
	}
	return err
}

// pidOf reads the process number that the holder wrote into a lock file.
func pidOf(f *os.File) string {
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" && (err == nil || n > 0) {
		return pid
	}
	return "unknown"
}
