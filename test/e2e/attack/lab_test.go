package attack_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/test/netlab"
)

// binDir is where the built daemons are.
var binDir = flag.String("bin", filepath.Join("..", "..", "..", "bin"), "directory of the built binaries")

// node is one daemon.
type node struct {
	name   string
	host   *netlab.Host
	dir    string
	ip     netip.Addr
	daemon *netlab.Process
}

// field is where the attack takes place.
type field struct {
	t        *testing.T
	dir      string
	lab      *netlab.Lab
	honest   []*node // the first one introduces
	insider  *node
	bundle   *identity.Bundle // the insider's
	stranger *netlab.Host
	streams  map[string]*netlab.Stream
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(*binDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (run `make build`)", err)
	}
	return path
}

func cbctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t, "cbctl"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("cbctl %q: %v: %s", args, err, out)
	}
	return string(out)
}

// newField starts three honest nodes, the insider, and waits until all reach
// each other.
func newField(t *testing.T) *field {
	t.Helper()
	f := &field{t: t, dir: t.TempDir(), lab: netlab.New(t, netlab.Options{}), streams: map[string]*netlab.Stream{}}
	site := f.lab.Site("public", netlab.SiteOptions{})
	cbctl(t, "ca", "init", "--dir", filepath.Join(f.dir, "ca"), "--mesh", "lab")
	first := site.Host("n1")
	introducer := net.JoinHostPort(first.Addr().String(), "7950")
	for i := range 4 {
		h := first
		if i > 0 {
			h = site.Host("n" + strconv.Itoa(i+1))
		}
		n := &node{name: h.Name, host: h, dir: filepath.Join(f.dir, h.Name)}
		args := []string{"ca", "issue", "--dir", filepath.Join(f.dir, "ca"), "--node", n.name, "--out", n.dir + ".bundle", "--introducer", introducer}
		if i == 0 {
			args = append(args, "--role", "introducer")
		}
		cbctl(t, args...)
		b := bundleOf(t, n)
		g, err := b.Grant(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n.ip = g.IP
		argv := []string{program(t, "cbnetd"), "--bundle", n.dir + ".bundle", "--state", n.dir + ".state", "--socket", n.dir + ".sock"}
		if i == 0 {
			argv = append(argv, "--introduce", ":7950")
		}
		n.daemon = h.Start(n.name, argv...)
		f.honest = append(f.honest, n)
	}
	f.insider, f.honest = f.honest[3], f.honest[:3]
	f.bundle = bundleOf(t, f.insider)
	f.stranger = site.Host("stranger")
	f.converge()
	return f
}

func bundleOf(t *testing.T, n *node) *identity.Bundle {
	t.Helper()
	data, err := os.ReadFile(n.dir + ".bundle")
	if err != nil {
		t.Fatal(err)
	}
	b, err := identity.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// converge waits until every node reaches every other one.
func (f *field) converge() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	all := append(slices.Clone(f.honest), f.insider)
	for _, n := range all {
		var others []netip.Addr
		for _, o := range all {
			if o != n {
				others = append(others, o.ip)
			}
		}
		results, err := n.host.Ping(ctx, others)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, r := range results {
			if !r.OK {
				f.t.Fatalf("%s does not reach %s: %v\n%s", n.name, r.Addr, r.Err, n.daemon.Log())
			}
		}
	}
}

// flow starts a steady stream between each two honest nodes, both ways.
func (f *field) flow() {
	f.t.Helper()
	for _, a := range f.honest {
		for _, b := range f.honest {
			if a == b {
				continue
			}
			s, err := a.host.Stream(f.t.Context(), netlab.StreamOptions{To: b.ip, PPS: 20})
			if err != nil {
				f.t.Fatal(err)
			}
			f.streams[a.name+" to "+b.name] = s
		}
	}
}

// lost stops the streams and returns what was sent and lost in all.
func (f *field) lost() (sent, lost int) {
	f.t.Helper()
	for pair, s := range f.streams {
		st := s.Stop()
		sent, lost = sent+st.Sent, lost+st.Lost
		if st.Lost > 0 {
			f.t.Errorf("%s: %s", pair, st)
		}
	}
	return sent, lost
}

// rss returns the resident memory of the node's daemon in bytes.
func (f *field) rss(n *node) int {
	f.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.daemon.PID()))
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				f.t.Fatal(err)
			}
			return kb << 10
		}
	}
	f.t.Fatal("no VmRSS")
	return 0
}

// metrics reads a node's /metrics, from the node itself.
func (f *field) metrics(n *node) map[string]float64 {
	f.t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: n.host.DialContext, DisableKeepAlives: true}}
	r, err := client.Get("http://" + net.JoinHostPort(n.ip.String(), "9586") + "/metrics")
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	m := map[string]float64{}
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), " "); ok {
			m[name], _ = strconv.ParseFloat(value, 64) // comments have none
		}
	}
	return m
}

// device is what of a node's host the mesh decides: routes, addresses, and the
// peers with their addresses.
func (f *field) device(n *node) string {
	f.t.Helper()
	var b strings.Builder
	for _, argv := range [][]string{{"ip", "route"}, {"ip", "-6", "route"}, {"ip", "-o", "addr", "show", "dev", "cbn0", "scope", "global"}} {
		out, err := n.host.Command(f.t.Context(), argv...).Output()
		if err != nil {
			f.t.Fatal(err)
		}
		b.Write(out)
	}
	return b.String() + peersOf(f.t, n)
}
