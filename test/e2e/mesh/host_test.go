package mesh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// look is a shell script that prints all of a host that a daemon changes, but
// link-local addresses, which the kernel makes when it likes.
const look = `set -e
ip -o link | sed 's/^[0-9]*: //'; ip -o addr | sed 's/^[0-9]*: //' | grep -v fe80::
ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all | grep -v fe80::; nft list ruleset
find /run -mindepth 1 -printf '%p %m %y\n' | sort`

// snapshot returns what a host is like, and the files of the cluster but logs.
func snapshot(t *testing.T, h *netlab.Host, dir string) string {
	t.Helper()
	r := runAt(t, h, "sh", "-c", look)
	if r.code != 0 {
		t.Fatalf("look at host %s: code %d: %s", h.Name, r.code, r.stderr)
	}
	files := must(t, "find", dir, "-not", "-name", "*.log", "-printf", "%P %m %s\n")
	sorted := slices.Sorted(strings.Lines(files))
	lifetime := regexp.MustCompile(`(valid_lft|preferred_lft|expires) \S+`)
	return lifetime.ReplaceAllString(r.stdout, "") + strings.Join(sorted, "")
}

// loner makes a node on a host of its own whose introducer does not exist.
func loner(t *testing.T) *node {
	t.Helper()
	s := netlab.New(t, netlab.Options{}).Site("alone", netlab.SiteOptions{})
	return newCluster(t).add(t, s.Host("n1"), "--introducer", "198.51.100.1:7950")
}

// TestBadInput: a broken bundle or flag is one line that names the file or flag,
// the field and what was expected; exit code 2; nothing on the host has changed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	n := loner(t)
	good, err := os.ReadFile(n.path("bundle"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, content string) string {
		path := filepath.Join(n.c.dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	field := regexp.MustCompile(`"certificate": *"[^"]*"`)
	cut := file("cut", string(good[:len(good)/2]))
	text := file("text", "hello\n")
	cert := file("cert", field.ReplaceAllString(string(good), `"certificate": "AAAA"`))
	token := file("token", "cb1.short")
	for _, tt := range []struct {
		name string
		args []string
		want string // of the one line
	}{
		{"no bundle file", []string{"--bundle", "/nowhere/bundle"}, `--bundle: .*/nowhere/bundle: no such file`},
		{"not JSON", []string{"--bundle", text}, `--bundle: ` + text + `: want JSON`},
		{"cut off", []string{"--bundle", cut}, `--bundle: ` + cut + `: want JSON`},
		{"field", []string{"--bundle", cert}, `--bundle: ` + cert + `: field certificate: want`},
		{"token", []string{"--join", token}, `--join ` + token + `: token: `},
		{"neither", nil, `--bundle: want --bundle FILE or --join FILE`},
		{"both", []string{"--bundle", n.path("bundle"), "--join", token}, `--join: want either --bundle or --join`},
		{"port", []string{"--bundle", n.path("bundle"), "--port", "70000"}, `--port: 70000: want a port from 1 to 65535`},
		{"interface", []string{"--bundle", n.path("bundle"), "--interface", "a/b"}, `--interface: "a/b": want an interface name`},
		{"advertise", []string{"--bundle", n.path("bundle"), "--advertise", "here"}, `--advertise: "here": want an IP address`},
		{"introduce", []string{"--bundle", n.path("bundle"), "--introduce", ":7950"}, `--introduce: .*role introducer`},
		{"datapath", []string{"--bundle", n.path("bundle"), "--datapath", "fast"}, `--datapath: "fast": want auto, kernel or userspace`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			argv := append([]string{bin("cbnetd"), "--state", n.path("state"), "--socket", n.path("sock")}, tt.args...)
			before := snapshot(t, n.host, n.c.dir)
			r := runAt(t, n.host, argv...)
			if r.code != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !regexp.MustCompile("^cbnetd: "+tt.want).MatchString(r.stderr) {
				t.Errorf("code %d, %q, %q; want 2 and one line %q", r.code, r.stdout, r.stderr, tt.want)
			}
			if after := snapshot(t, n.host, n.c.dir); after != before {
				t.Errorf("the host was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// TestNoRoot: without rights the daemon says what it needs and changes nothing.
func TestNoRoot(t *testing.T) {
	t.Parallel()
	n := loner(t)
	for _, path := range []string{filepath.Dir(n.c.dir), n.c.dir} { // readable for nobody
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(n.path("bundle"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, n.host, n.c.dir)
	drop := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", bin("cbnetd")}
	r := runAt(t, n.host, append(drop, n.args()...)...)
	if r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "needs root or the capability CAP_NET_ADMIN") {
		t.Errorf("code %d, %q; want 1 and what is needed", r.code, r.stderr)
	}
	if after := snapshot(t, n.host, n.c.dir); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
}

// TestSecondDaemon: a second daemon on the same state is refused with the first
// one's pid, and the first goes on.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	n := loner(t)
	n.start(t)
	pid := 0
	route := func(want string, what ...string) error {
		r := runAt(t, n.host, append([]string{"ip", "-6", "route", "show", "dev", "cbn0"}, what...)...)
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			return fmt.Errorf("no route %q yet: %q %s", want, r.stdout, r.stderr)
		}
		return nil
	}
	eventually(t, 5*time.Second, "the daemon has made its interface", func(ctx context.Context) error {
		s, err := n.control().Status(ctx)
		pid = s.Pid
		if err != nil {
			return err
		}
		return route("fd", "proto", "66")
	})
	eventually(t, 20*time.Second, "the kernel has added the address's own route, aside", func(context.Context) error {
		return route("local fd", "table", "local")
	})
	before := snapshot(t, n.host, n.c.dir)
	r := runAt(t, n.host, append([]string{bin("cbnetd")}, n.args()...)...)
	if want := fmt.Sprintf("pid %d ", pid); r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
		t.Errorf("second daemon: code %d, %q; want 1 and one line with %q", r.code, r.stderr, want)
	}
	if after := snapshot(t, n.host, n.c.dir); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
	if _, err := n.control().Status(t.Context()); err != nil {
		t.Errorf("the first daemon: %v", err)
	}
}

// TestNothingIsLeft: after SIGTERM, and after kill -9 and --cleanup, the host is
// as it was but for the state.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	w := threeSites(t, 3)
	n := w.nodes[2]
	for _, o := range w.nodes[:2] {
		o.start(t)
	}
	up := func() {
		t.Helper()
		n.start(t)
		mustReach(t, "others", []*node{n}, w.nodes[:1], n.began, 10*time.Second)
		if r := runAt(t, n.host, "ip", "link", "show", "cbn0"); r.code != 0 {
			t.Errorf("no interface: %s", r.stderr)
		}
	}
	up()
	n.stop(t) // the state and /run are made from here on
	before := n.leftovers(t)
	for _, unwanted := range []string{"cbn0", "10.66.", n.name + ".sock", "/wireguard/", "fd"} {
		if strings.Contains(before, unwanted) {
			t.Errorf("SIGTERM left %q:\n%s", unwanted, before)
		}
	}
	up()
	n.kill(t)
	if after := n.leftovers(t); after == before {
		t.Error("kill -9 left nothing: what is to be cleaned up?")
	}
	if r := runAt(t, n.host, append([]string{bin("cbnetd"), "--cleanup"}, n.args()...)...); r.code != 0 || r.stderr != "" {
		t.Errorf("--cleanup: code %d, %q", r.code, r.stderr)
	}
	if after := n.leftovers(t); after != before {
		t.Errorf("--cleanup: the host was\n%s\nand is\n%s", before, after)
	}
	up() // what is cleaned up can be used again
	if err := n.daemon.end(syscall.SIGTERM); err != nil || n.daemon.err != nil {
		t.Errorf("stop: %v, %v", err, n.daemon.err)
	}
}

// leftovers is a snapshot without the node's state.
func (n *node) leftovers(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(snapshot(t, n.host, n.c.dir)) {
		if !strings.Contains(line, ".state") {
			out.WriteString(line)
		}
	}
	return out.String()
}
