package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/node/control"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// introducerPort is where introducers listen.
const introducerPort = "7950"

// cluster is one mesh: an offline authority, and daemons on the hosts of a lab.
type cluster struct {
	dir   string
	ca    string
	nodes []*node
	intro []string // ADDR:PORT of each introducer, for bundles
}

// node is one node of a cluster and the daemon on its host.
type node struct {
	c      *cluster
	name   string
	host   *netlab.Host
	flags  []string   // of the daemon, beside bundle, state and socket
	ip     netip.Addr // on the overlay
	ip6    netip.Addr
	daemon *process  // the last one, nil before the first start
	began  time.Time // when that one was started
}

// newCluster makes an authority, and on each of the hosts a node that introduces
// others. The daemons of all nodes end with the test, all at once and each with
// exit code 0.
func newCluster(t *testing.T, introducers ...*netlab.Host) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir()}
	for _, h := range introducers {
		c.intro = append(c.intro, h.Public().String()+":"+introducerPort)
	}
	c.ca = filepath.Join(c.dir, "ca")
	must(t, bin("cbctl"), "ca", "init", "--dir", c.ca, "--mesh", "lab")
	t.Cleanup(func() {
		c.endAll(t)
		if t.Failed() {
			c.showLogs(t)
		}
	})
	for _, h := range introducers {
		n := c.add(t, h, "--role", "introducer")
		n.flags = append(n.flags, "--introduce", ":"+introducerPort)
	}
	return c
}

// add adds a node, with flags of `cbctl ca issue` for its bundle.
func (c *cluster) add(t *testing.T, h *netlab.Host, issue ...string) *node {
	t.Helper()
	n := &node{c: c, name: "n" + strconv.Itoa(len(c.nodes)+1), host: h}
	c.nodes = append(c.nodes, n)
	n.issue(t, issue...)
	return n
}

// issue gives the node a new key and certificate, in place of an older one.
func (n *node) issue(t *testing.T, flags ...string) {
	t.Helper()
	args := []string{"ca", "issue", "--dir", n.c.ca, "--node", n.name, "--out", n.path("bundle")}
	for _, i := range n.c.intro {
		args = append(args, "--introducer", i)
	}
	if err := os.Remove(n.path("bundle")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, bin("cbctl"), append(args, flags...)...)
	fi, err := os.Stat(n.path("bundle"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("bundle: %v, %v; want mode 0600", fi, err)
	}
	n.ip, n.ip6 = n.granted(t)
}

// granted returns the overlay addresses that the node's newest certificate
// grants, as cbnetd reads them.
func (n *node) granted(t *testing.T) (ip, ip6 netip.Addr) {
	t.Helper()
	line := must(t, bin("cbnetd"), "--check", "--bundle", n.path("bundle"))
	for _, word := range strings.Fields(line) {
		a, err := netip.ParseAddr(strings.TrimSuffix(word, ","))
		switch {
		case err != nil:
		case a.Is4():
			ip = a
		default:
			ip6 = a
		}
	}
	if !ip.IsValid() || !ip6.IsValid() {
		t.Fatalf("no addresses in %q", line)
	}
	return ip, ip6
}

func (n *node) path(what string) string { return filepath.Join(n.c.dir, n.name+"."+what) }

func (n *node) control() *control.Client { return control.Dial(n.path("sock")) }

// args are the daemon's.
func (n *node) args() []string {
	return append([]string{"--bundle", n.path("bundle"), "--state", n.path("state"), "--socket", n.path("sock")}, n.flags...)
}

// politeness is how far the daemons stand back for this process, which is the
// internet between them: if fifty start on two processors, packets wait for
// seconds in its queues else, and in no network that it stands for.
const politeness = "10"

// start starts the node's daemon.
func (n *node) start(t *testing.T) {
	t.Helper()
	argv := append([]string{"nice", "-n", politeness, bin("cbnetd")}, n.args()...) // nice(1) becomes the daemon
	p, err := launch(n.host.Command(context.Background(), argv...), n.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	n.daemon, n.began = p, time.Now()
}

// startAll starts all nodes, one after the other, and returns when the last one
// was started.
func (c *cluster) startAll(t *testing.T) time.Time {
	t.Helper()
	for _, n := range c.nodes {
		n.start(t)
	}
	return c.nodes[len(c.nodes)-1].began
}

// kill ends the daemon without warning.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.daemon.end(syscall.SIGKILL); err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
}

// stop ends the daemon politely: it has to say goodbye and give exit code 0.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(n.daemon.end(syscall.SIGTERM), n.daemon.err); err != nil {
		t.Errorf("%s: stop: %v", n.name, err)
	}
}

// endAll stops all daemons that run.
func (c *cluster) endAll(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		if n.daemon != nil && !n.daemon.ended() {
			wg.Go(func() { n.stop(t) })
		}
	}
	wg.Wait()
}

// showLogs shows of each daemon what it warned of and the end of what it said.
func (c *cluster) showLogs(t *testing.T) {
	t.Helper()
	const last = 12
	for _, n := range c.nodes {
		data, err := os.ReadFile(n.path("log"))
		if err != nil {
			t.Logf("%s: %v", n.name, err)
			continue
		}
		all := lines(string(data), "INFO", "WARN", "ERROR")
		t.Logf("%s at %s, the last of %d lines:\n%s", n.name, n.host.Addr(), len(all), strings.Join(all[max(0, len(all)-last):], "\n"))
	}
}

// peer returns how the node sees another one; nil if it does not know it.
func (n *node) peer(ctx context.Context, other string) (*control.Peer, error) {
	peers, err := n.control().Peers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		if p.Name == other {
			return &p, nil
		}
	}
	return nil, nil
}

// sees says what is wrong with how the node sees another one.
func (n *node) sees(ctx context.Context, other *node, want control.PeerState) error {
	p, err := n.peer(ctx, other.name)
	switch {
	case err != nil:
		return err
	case p == nil:
		return fmt.Errorf("%s does not know %s", n.name, other.name)
	case p.State != want:
		return fmt.Errorf("%s sees %+v, want %s", n.name, *p, want)
	}
	return nil
}

// allUp says what is wrong unless each of the nodes sees all others of them up.
func allUp(ctx context.Context, nodes []*node) error {
	for _, n := range nodes {
		peers, err := n.control().Peers(ctx)
		if err != nil {
			return err
		}
		up := map[string]bool{}
		for _, p := range peers {
			up[p.Name] = p.State == control.StateUp
		}
		for _, o := range nodes {
			if o != n && !up[o.name] {
				return fmt.Errorf("%s does not see %s up", n.name, o.name)
			}
		}
	}
	return nil
}

// converged waits until each of the nodes sees all others of them up.
func converged(t *testing.T, nodes []*node) {
	t.Helper()
	eventually(t, 30*time.Second, "all see each other", func(ctx context.Context) error { return allUp(ctx, nodes) })
}

// cbctl runs a verb of `cbctl node` against the node's daemon.
func (n *node) cbctl(t *testing.T, verb string, args ...string) result {
	t.Helper()
	return run(t, bin("cbctl"), append([]string{"node", verb, "--socket", n.path("sock")}, args...)...)
}

// cpu returns how much processor time the daemons that run have used.
func (c *cluster) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	const tick = time.Second / 100 // of the kernel, USER_HZ
	for _, n := range c.nodes {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.daemon.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(data[strings.LastIndex(string(data), ")"):])) // proc(5): the third is at 1
		for _, f := range fields[12:14] {
			ticks, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(ticks) * tick
		}
	}
	return sum
}
