package netlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Options are the settings of a [Lab].
type Options struct {
	// Seed fixes the internet's dice: which packets are lost, doubled or late.
	// The packets themselves depend on the machine's timing. 0 = 1.
	Seed uint64

	// LogDir is where [Host.Start] keeps the logs of daemons. "" = a directory
	// of the test's.
	LogDir string

	// MTU of every link, in bytes. 0 = 1500.
	MTU int
}

// Lab is a set of sites with the internet between them. Make one with [New].
type Lab struct {
	// Internet connects the sites.
	Internet *Internet

	t       testing.TB
	opts    Options
	nft     string // path of nft(8)
	spawner *spawner

	mu     sync.Mutex // guards the fields below
	sites  []*Site
	hosts  []*Host
	closed bool

	procMu sync.Mutex // guards the field below; no other lock is taken under it
	procs  []*Process
}

// New makes an empty lab, which is removed when the test ends. It skips the test
// where there is no root or no nft(8).
func New(t testing.TB, o Options) *Lab {
	t.Helper()
	nft, err := requirements(os.Geteuid(), exec.LookPath)
	if err != nil {
		refuse(t, err)
	}
	l, err := open(t, nft, o)
	if err != nil {
		t.Fatalf("netlab: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("netlab:\n%s", l)
		}
		if err := l.close(); err != nil {
			t.Errorf("netlab: remove: %v", err)
		}
	})
	return l
}

// requirements returns the path of nft(8), or says what the machine lacks.
func requirements(euid int, lookPath func(string) (string, error)) (nft string, err error) {
	if euid != 0 {
		return "", errors.New("netlab: needs root for namespaces and TUN devices")
	}
	for _, name := range []string{"nft", "/usr/sbin/nft"} { // not every root's PATH has sbin
		if nft, err = lookPath(name); err == nil {
			return nft, nil
		}
	}
	return "", fmt.Errorf("netlab: needs nft(8): %w", err)
}

// refuse ends a test that cannot run here: a failure where everything has to run.
func refuse(t testing.TB, why error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%v, and CI has to have it", why)
	}
	t.Skip(why)
}

func open(t testing.TB, nft string, o Options) (*Lab, error) {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.LogDir == "" {
		o.LogDir = t.TempDir()
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	if o.MTU < 1280 || o.MTU > maxPacket {
		return nil, fmt.Errorf("MTU %d: want 1280 to %d", o.MTU, maxPacket)
	}
	s, err := startSpawner()
	if err != nil {
		return nil, err
	}
	return &Lab{t: t, opts: o, nft: nft, spawner: s, Internet: newInternet(o.Seed)}, nil
}

// Hosts are all hosts of the lab, in the order of their making.
func (l *Lab) Hosts() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Host(nil), l.hosts...)
}

// Sites are all sites of the lab, in the order of their making.
func (l *Lab) Sites() []*Site {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Site(nil), l.sites...)
}

// String tells what is where and what the internet did, for people; it is logged
// when the test fails.
func (l *Lab) String() string {
	var b strings.Builder
	for _, s := range l.Sites() {
		fmt.Fprintf(&b, "site %s: NAT %s, %s", s.Name, s.opts.NAT, s.lan)
		if a := s.Public(); a.IsValid() {
			fmt.Fprintf(&b, " behind %s", a)
		}
		b.WriteByte('\n')
		for _, h := range s.Hosts() {
			fmt.Fprintf(&b, "  host %s: %s", h.Name, h.Addr())
			if p := h.Public(); p != h.Addr() {
				fmt.Fprintf(&b, ", seen as %s", p)
			}
			if a := h.Addr6(); a.IsValid() {
				fmt.Fprintf(&b, ", %s", a)
			}
			if h.isDown() {
				b.WriteString(", link down")
			}
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "internet: %+v\n", l.Internet.Counters())
	return b.String()
}

// close removes everything: processes first, so that nobody sees the rest go.
func (l *Lab) close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	sites, hosts := l.sites, l.hosts
	l.mu.Unlock()
	err := l.spawner.stop()
	l.procMu.Lock()
	procs := l.procs
	l.procMu.Unlock()
	for _, p := range procs {
		<-p.done
		if p.show && l.t.Failed() {
			l.t.Logf("%s:\n%s", p.log, p.tail(int64(min(tailSize, tailTotal/len(procs)))))
		}
	}
	for _, h := range hosts {
		err = errors.Join(err, h.ns.close())
	}
	err = errors.Join(err, l.Internet.close())
	for _, s := range sites {
		err = errors.Join(err, s.ns.close())
	}
	return err
}
