package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// steadyTime is how long a mesh where nothing happens is watched.
func steadyTime() time.Duration {
	if testing.Short() {
		return 6 * time.Second
	}
	return 30 * time.Second
}

// TestService is about what a service manager and an operator see of daemons
// with CAP_NET_ADMIN alone: ready means a place in the mesh, a steady node says
// nothing, metrics and the node API answer on the overlay alone, and neither
// arguments nor logs hold a secret.
func TestService(t *testing.T) {
	t.Parallel()
	site := netlab.New(t, netlab.Options{}).Site("public", netlab.SiteOptions{})
	c := newCluster(t, site.Host("n1"))
	c.add(t, site.Host("n2"))
	told := notifySocket(t)
	late := c.nodes[1]
	late.startAs(t, "env", "NOTIFY_SOCKET="+told.LocalAddr().String(), "setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--no-new-privs")
	// Its introducer is not there yet, so it has no place.
	eventually(t, 10*time.Second, "it runs", func(ctx context.Context) error { _, err := late.control().Status(ctx); return err })
	if got := hear(t, told, 2*time.Second); got != "" {
		t.Errorf("systemd was told %q before there was a place in the mesh", got)
	}
	c.nodes[0].start(t)
	if got := hear(t, told, 20*time.Second); got != "READY=1" {
		t.Errorf("systemd was told %q, want READY=1", got)
	}
	converged(t, c.nodes)
	mustReach(t, "with CAP_NET_ADMIN alone", c.nodes, c.nodes, time.Now(), 5*time.Second)

	before := map[string]int{}
	for _, n := range c.nodes {
		before[n.name] = len(n.said(t))
	}
	wait(t, time.Now().Add(steadyTime()))
	for _, n := range c.nodes {
		if said := lines(n.said(t)[before[n.name]:], "INFO", "WARN", "ERROR"); len(said) > 0 {
			t.Errorf("%s said within %s where nothing happened:\n%s", n.name, steadyTime(), strings.Join(said, "\n"))
		}
		n.keepsSecrets(t)
	}
	c.metricsInside(t)

	late.stop(t)
	if got := hear(t, told, time.Second); got != "STOPPING=1" {
		t.Errorf("systemd was told %q, want STOPPING=1", got)
	}
}

// startAs starts the node's daemon by other programs.
func (n *node) startAs(t *testing.T, argv ...string) {
	t.Helper()
	p, err := launch(n.host.Command(context.Background(), append(append(argv, bin("cbnetd")), n.args()...)...), n.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	n.daemon, n.began = p, time.Now()
}

// notifySocket is where a service manager listens, see sd_notify(3).
func notifySocket(t *testing.T) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// hear returns what the socket is told within a time, empty if nothing.
func hear(t *testing.T, c *net.UnixConn, within time.Duration) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1024)
	k, err := c.Read(buf)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(buf[:k])
}

// keepsSecrets checks that no line of the node's bundle and keys stands in its
// arguments, its environment or its log, and that its files are its own.
func (n *node) keepsSecrets(t *testing.T) {
	t.Helper()
	proc := filepath.Join("/proc", fmt.Sprint(n.daemon.cmd.Process.Pid))
	var seen strings.Builder
	for _, f := range []string{filepath.Join(proc, "cmdline"), filepath.Join(proc, "environ"), n.path("log")} {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(data)
	}
	for _, f := range []string{n.path("bundle"), filepath.Join(n.path("state"), "wireguard.key")} {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, secret, ok := strings.Cut(string(data), `BEGIN PRIVATE KEY-----\n`)
		if !ok {
			secret = string(data)
		}
		if secret = secret[:40]; strings.Contains(seen.String(), secret) {
			t.Errorf("%s shows what is in %s", n.name, f)
		}
	}
	files, err := os.ReadDir(n.path("state"))
	if err != nil || len(files) < 3 {
		t.Fatalf("state of %s: %v, %v", n.name, files, err)
	}
	for _, f := range files {
		if fi, err := f.Info(); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", f.Name(), fi.Mode(), err)
		}
	}
}

// metricsInside checks that metrics have help texts, and that they and the node
// API answer at the overlay addresses alone.
func (c *cluster) metricsInside(t *testing.T) {
	t.Helper()
	from, to := c.nodes[0], c.nodes[1]
	for _, ip := range []netip.Addr{to.ip, to.ip6} {
		url := "http://" + netip.AddrPortFrom(ip, 9586).String() + "/metrics"
		r := runAt(t, from.host, "curl", "-sS", "--max-time", "5", url)
		if r.code != 0 || !strings.Contains(r.stdout, `cbnet_mesh_peers{state="up"} 1`) {
			t.Errorf("%s: code %d: %s%.300s", url, r.code, r.stderr, r.stdout)
		}
		for line := range strings.Lines(r.stdout) {
			name, ok := strings.CutPrefix(line, "# TYPE ")
			name, _, _ = strings.Cut(name, " ")
			if ok && !strings.Contains(r.stdout, "# HELP "+name+" ") {
				t.Errorf("metric %s has no help text", name)
			}
		}
	}
	for _, port := range []string{"9586", "7947", "7946"} {
		addr := net.JoinHostPort(to.host.Addr().String(), port)
		conn, err := from.host.DialContext(t.Context(), "tcp", addr)
		if err == nil {
			conn.Close()
			t.Errorf("%s answers outside of the tunnel", addr)
		}
	}
}
