package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/control"
)

// lan is a network of hosts in namespaces:
//
//	intro 192.0.2.1   a 192.0.2.2   b 192.0.2.3   this process 192.0.2.254
//	      |                 |             |                 |
//	      +-----------------+------+------+-----------------+
//	                            bridge
type lan struct {
	prefix string // of all names, unique on this machine
	dir    string
	ca     *identity.Dir
	hosts  []*lanHost
}

// lanHost is one host of a lan and the daemon on it.
type lanHost struct {
	lan    *lan
	name   string
	netns  string
	ip     netip.Addr // on the lan
	grant  identity.Grant
	flags  []string
	daemon *process
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	l := &lan{prefix: fmt.Sprintf("cbe%x", os.Getpid()&0xfffff), dir: t.TempDir()}
	m, err := identity.NewMesh("lab", identity.DefaultCIDR)
	if err != nil {
		t.Fatal(err)
	}
	if l.ca, err = identity.InitDir(filepath.Join(l.dir, "ca"), m, time.Now()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.ca.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, "ip", "link", "add", l.prefix, "type", "bridge")
	t.Cleanup(func() { must(t, "ip", "link", "del", l.prefix) })
	must(t, "ip", "addr", "add", "192.0.2.254/24", "dev", l.prefix)
	must(t, "ip", "link", "set", l.prefix, "up")
	return l
}

// must runs a program of the system that has to succeed.
func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if r := command(t, nil, name, args...); r.code != 0 {
		t.Fatalf("%s %v: code %d: %s", name, args, r.code, r.stderr)
	}
}

// host adds a host to the lan, with a bundle and no daemon yet.
func (l *lan) host(t *testing.T, name string, roles []identity.Role, flags ...string) *lanHost {
	t.Helper()
	n := len(l.hosts) + 1
	h := &lanHost{
		lan: l, name: name, netns: l.prefix + "-" + name, flags: flags,
		ip: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}),
	}
	b, err := l.ca.Issue(identity.Request{
		Grant: identity.Grant{Node: name, Roles: roles}, Validity: 24 * time.Hour, Introducers: []string{"192.0.2.1:7950"},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Save(h.path("bundle")); err != nil {
		t.Fatal(err)
	}
	if h.grant, err = b.Grant(time.Now()); err != nil {
		t.Fatal(err)
	}
	must(t, "ip", "netns", "add", h.netns)
	t.Cleanup(func() { must(t, "ip", "netns", "del", h.netns) })
	outer := fmt.Sprintf("%sv%d", l.prefix, n)
	must(t, "ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", h.netns)
	t.Cleanup(func() { must(t, "ip", "link", "del", outer) }) // a namespace alone goes later
	must(t, "ip", "link", "set", outer, "master", l.prefix, "up")
	must(t, "ip", "-n", h.netns, "link", "set", "lo", "up")
	must(t, "ip", "-n", h.netns, "addr", "add", h.ip.String()+"/24", "dev", "eth0")
	must(t, "ip", "-n", h.netns, "link", "set", "eth0", "up")
	l.hosts = append(l.hosts, h)
	return h
}

func (h *lanHost) path(what string) string { return filepath.Join(h.lan.dir, h.name+"."+what) }

func (h *lanHost) control() *control.Client { return control.Dial(h.path("sock")) }

// args are the daemon's.
func (h *lanHost) args() []string {
	return append([]string{
		"--bundle", h.path("bundle"), "--state", h.path("state"), "--socket", h.path("sock"), "--interface", "cbn0",
	}, h.flags...)
}

// ownRun begins a daemon with a /run of its own: sockets of WireGuard lie there.
const ownRun = `mount -t tmpfs tmpfs /run && exec "$0" "$@"`

// start starts the host's daemon. No process of ip or sh stays in between.
func (h *lanHost) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(h.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"netns", "exec", h.netns, "sh", "-c", ownRun, bin("cbnetd")}, h.args()...)
	p := &process{cmd: exec.Command("ip", args...), out: &syncBuffer{}, log: h.path("log"), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cbnetd (run `make build`): %v", err)
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.done)
	}()
	h.daemon = p
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			tail(t, p.log)
		}
	})
}

// reach pings a host's two overlay addresses from another one.
func (h *lanHost) reach(to *lanHost) error {
	return errors.Join(ping(h.netns, to.grant.IP.String()), ping(h.netns, to.grant.IP6.String()))
}

// peer returns how a host sees another one; nil if it does not know it.
func (h *lanHost) peer(t *testing.T, other *lanHost) *control.Peer {
	t.Helper()
	peers, err := h.control().Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		if p.Name == other.name {
			return &p
		}
	}
	return nil
}

// wantState waits until a host sees another one in a state; "" is not knowing
// it.
func (h *lanHost) wantState(t *testing.T, limit time.Duration, other *lanHost, want control.PeerState) {
	t.Helper()
	eventually(t, limit, fmt.Sprintf("%s sees %s %q", h.name, other.name, want), func() error {
		p := h.peer(t, other)
		switch {
		case p == nil && want == "":
			return nil
		case p == nil:
			return errors.New("it does not know it")
		case p.State != want:
			return fmt.Errorf("it sees it as %+v", *p)
		}
		return nil
	})
}

func (l *lan) allPairs() error {
	var errs []error
	for _, a := range l.hosts {
		for _, b := range l.hosts {
			if a != b {
				errs = append(errs, a.reach(b))
			}
		}
	}
	return errors.Join(errs...)
}

// TestNodes runs three daemons that an offline authority certified: they find
// each other, survive crashes and stops without the introducer, and one leaves.
func TestNodes(t *testing.T) {
	l := newLAN(t)
	intro := l.host(t, "intro", []identity.Role{identity.RoleIntroducer}, "--introduce", ":7950")
	a, b := l.host(t, "a", nil), l.host(t, "b", nil)
	for _, h := range l.hosts {
		h.start(t)
	}
	took := eventually(t, 10*time.Second, "all pairs ping", l.allPairs)
	t.Logf("3 daemons: all ordered pairs ping over IPv4 and IPv6 %v after their start", took.Round(time.Millisecond))
	for _, h := range l.hosts {
		h.checkStatus(t)
	}
	a.wantState(t, 10*time.Second, b, control.StateUp)
	if p, err := a.control().Ping(t.Context(), "b"); err != nil || p.IP != b.grant.IP.String() || p.RTTMs <= 0 {
		t.Errorf("node ping: %+v, %v", p, err)
	}
	a.checkOverlayPorts(t, b)
	a.checkSecondDaemon(t)

	for _, h := range l.hosts {
		h.remembers(t, 2)
	}
	intro.daemon.stop(t)
	if intro.daemon.err != nil {
		t.Errorf("a stopped daemon: %v, want exit code 0", intro.daemon.err)
	}
	a.wantState(t, 10*time.Second, intro, control.StateAway)

	a.daemon.kill(t)
	a.start(t)
	took = eventually(t, 2*time.Second, "b reaches a after kill -9", func() error { return b.reach(a) })
	t.Logf("kill -9 without an introducer: reachable %v after the start", took.Round(time.Millisecond))

	b.daemon.stop(t)
	a.wantState(t, 10*time.Second, b, control.StateAway)
	b.start(t)
	took = eventually(t, 2*time.Second, "a reaches b after SIGTERM", func() error { return a.reach(b) })
	t.Logf("SIGTERM without an introducer: reachable %v after the start", took.Round(time.Millisecond))

	eventually(t, 5*time.Second, "b takes part again", func() error {
		s, err := b.control().Status(t.Context())
		if err == nil && s.Phase != control.PhaseRunning {
			err = fmt.Errorf("phase %s", s.Phase)
		}
		return err
	})
	if err := b.control().Leave(t.Context()); err != nil {
		t.Fatalf("leave: %v", err)
	}
	a.wantState(t, 5*time.Second, b, "")
	select {
	case <-b.daemon.done:
		if b.daemon.err != nil {
			t.Errorf("a daemon that left: %v, want exit code 0", b.daemon.err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the daemon runs on after its leave")
	}
	if r := command(t, nil, "ip", "-n", b.netns, "link", "show", "cbn0"); r.code == 0 {
		t.Errorf("the interface is still there: %s", r.stdout)
	}
}

// TestRevokedNode: a revocation reaches everyone from any node, and the
// revoked one is refused after that.
func TestRevokedNode(t *testing.T) {
	l := newLAN(t)
	l.host(t, "intro", []identity.Role{identity.RoleIntroducer}, "--introduce", ":7950")
	a, b := l.host(t, "a", nil), l.host(t, "b", nil)
	for _, h := range l.hosts {
		h.start(t)
	}
	eventually(t, 10*time.Second, "all pairs ping", l.allPairs)
	list, err := l.ca.Revoke("b", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.hosts[0].control().Revoke(t.Context(), []byte("nonsense")); err == nil {
		t.Error("nonsense was taken for a revocation list")
	}
	if err := l.hosts[0].control().Revoke(t.Context(), list); err != nil {
		t.Fatalf("revoke: %v", err)
	}
	a.wantState(t, 3*time.Second, b, "")
	if err := a.reach(b); err == nil {
		t.Error("a still reaches the revoked node")
	}
}

func (h *lanHost) checkStatus(t *testing.T) {
	t.Helper()
	s, err := h.control().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != h.name || s.Mesh != "lab" || s.IP != h.grant.IP.String() || s.IP6 != h.grant.IP6.String() ||
		s.Interface != "cbn0" || s.Port != 51820 || s.Datapath != "kernel" && s.Datapath != "userspace" {
		t.Errorf("status of %s: %+v", h.name, s)
	}
}

// checkOverlayPorts: members read metrics over the overlay; a neighbour in the
// local network, who routes to the overlay address himself, does not.
func (h *lanHost) checkOverlayPorts(t *testing.T, member *lanHost) {
	t.Helper()
	url := fmt.Sprintf("http://%s/metrics", netip.AddrPortFrom(h.grant.IP, 9586))
	r := command(t, nil, "ip", "netns", "exec", member.netns, "curl", "-sS", "-m", "5", url)
	if r.code != 0 || !strings.Contains(r.stdout, "cbnet_build_info") {
		t.Errorf("metrics for a member: code %d: %.200s %s", r.code, r.stdout, r.stderr)
	}
	must(t, "ip", "route", "add", h.grant.IP.String(), "via", h.ip.String())
	defer must(t, "ip", "route", "del", h.grant.IP.String())
	if r := command(t, nil, "curl", "-sS", "-m", "5", url); r.code == 0 {
		t.Errorf("metrics for a neighbour: %.200s", r.stdout)
	}
}

// remembers waits until a host has n peers on its disk.
func (h *lanHost) remembers(t *testing.T, n int) {
	t.Helper()
	eventually(t, 10*time.Second, h.name+" remembers its peers", func() error {
		var saved struct{ Peers []json.RawMessage }
		data, err := os.ReadFile(filepath.Join(h.path("state"), "peers.json"))
		if err == nil {
			err = json.Unmarshal(data, &saved)
		}
		if err == nil && len(saved.Peers) != n {
			err = fmt.Errorf("%d peers are saved, want %d", len(saved.Peers), n)
		}
		return err
	})
}

// checkSecondDaemon: a second daemon on the same state names the first one.
func (h *lanHost) checkSecondDaemon(t *testing.T) {
	t.Helper()
	r := command(t, nil, "ip", append([]string{"netns", "exec", h.netns, bin("cbnetd")}, h.args()...)...)
	if want := fmt.Sprintf("pid %d", h.daemon.cmd.Process.Pid); r.code != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("second daemon: code %d, %q; want 1 and %q", r.code, r.stderr, want)
	}
}

// TestNodeSocketBeforePeers: the socket answers while nobody answers the node.
func TestNodeSocketBeforePeers(t *testing.T) {
	l := newLAN(t)
	l.host(t, "nobody", nil) // takes the introducer's address and runs nothing
	a := l.host(t, "a", nil)
	a.start(t)
	eventually(t, 5*time.Second, "status", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := a.control().Status(ctx)
		if err == nil && s.IP == "" {
			err = fmt.Errorf("status %+v", s)
		}
		return err
	})
	if _, err := a.control().Ping(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), "no node named") {
		t.Errorf("ping of an unknown node: %v", err)
	}
	a.daemon.signal(t, syscall.SIGTERM)
	select {
	case <-a.daemon.done:
	case <-time.After(6 * time.Second):
		t.Error("a daemon without peers took more than 6 s to stop")
	}
}

// installed is a host's life with an init script, told by a shell. The places
// it writes to are its own.
const installed = `
set -eu
for d in /run /usr/local/bin /etc/init.d /etc/rc2.d /var/log /var/lib/cbnet /etc/cbnet; do
	mkdir -p $d; mount -t tmpfs tmpfs $d
done
ip link set lo up
mkdir /run/work; cd /run/work
say() { echo "$@"; }
pid() { cat /run/cbnet/cbnetd-cbn0.pid; }
until_running() { # and has another pid than $1
	for i in $(seq 100); do
		if [ "$(pid 2>/dev/null)" != "$1" ] && "$BIN/cbctl" node status -o json 2>/dev/null | grep -q '"phase": "running"'; then return 0; fi
		sleep 0.1
	done
	say "the daemon does not run"; cat /var/log/cbnetd-cbn0.log; return 1
}
"$BIN/cbctl" ca init --dir ca --mesh lab
"$BIN/cbctl" ca issue --dir ca --node a --role introducer --out a.bundle
install() { "$BIN/cbnetd" install --bundle a.bundle --introduce :7950; }
install
until_running none
first=$(pid)
install
[ "$(pid)" = "$first" ] || { say "a second install restarted the daemon"; exit 1; }
kill -9 "$first"
until_running "$first"
second=$(pid)
# An install that was killed before it restarted the daemon.
sed -i 's/"systemd"/"pending": true, "systemd"/' /etc/cbnet/cbn0.installed
install
until_running "$second"
second=$(pid)
install
[ "$(pid)" = "$second" ] || { say "another install restarted the daemon"; exit 1; }
"$BIN/cbnetd" install --bundle a.bundle --introduce :7950 --port 51821
until_running "$second"
"$BIN/cbctl" node status -o json | grep -q '"port": 51821'
/etc/init.d/cbnetd-cbn0 stop
! ip link show cbn0 2>/dev/null
/etc/rc2.d/S50cbnetd-cbn0 start
until_running none
"$BIN/cbnetd" uninstall
! ip link show cbn0 2>/dev/null
[ -d /var/lib/cbnet/cbn0 ]
"$BIN/cbnetd" uninstall --purge
left=$(find /usr/local/bin /etc/init.d /etc/rc2.d /var/log /var/lib/cbnet /etc/cbnet /run/cbnet ! -type d)
[ -z "$left" ] || { say "left: $left"; exit 1; }
say all well
`

func TestInstalledWithoutSystemd(t *testing.T) {
	r := command(t, []string{"BIN=" + filepath.Join(root, "bin")},
		"unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", installed)
	if r.code != 0 || !strings.HasSuffix(r.stdout, "all well\n") {
		t.Errorf("code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}
