package bench_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/cbnet-io/cbnet/test/netlab"
)

// contender is one way from a to b.
type contender struct {
	name, version string
	addr          [2]string                               // of a and b inside
	prepare       func(*pair)                             // once: keys and files
	start         func(p *pair, host int) *netlab.Process // nil: there is no program
}

// Names that rows of the report refer to.
const (
	rawName   = "raw veth"
	cbnetName = "cbnetd"
	bareName  = "wireguard-go" // with the MTU that cbnetd has
	wideName  = "wireguard-go, MTU 1420"
)

// contenders are what is compared, in the order of the report.
func contenders(t *testing.T) []*contender {
	t.Helper()
	bare := tool(t, *flagTools, "wireguard-go")
	bareVersion := module(bare, "golang.zx2c4.com/wireguard")
	list := []*contender{
		{name: rawName, version: "kernel", addr: underlay, prepare: func(*pair) {}},
		newCbnet(t, cbnetName, "userspace datapath, offline authority", 0, tool(t, *flagBin, "cbnetd")),
		newBare(bareName, bare, bareVersion+", MTU as cbnetd's: 1280", "wgb0", 120, 1280),
		newBare(wideName, bare, bareVersion+", its default MTU", "wgw0", 121, 1420),
	}
	list = append(list, newNebulas(t)...)
	for i, v := range *flagMore {
		list = append(list, newCbnet(t, "cbnetd: "+v, "variant", i+1, strings.Fields(v)...))
	}
	return slices.DeleteFunc(list, func(c *contender) bool {
		return *flagOnly != "" && !slices.Contains(strings.Split(*flagOnly, "|"), c.name) && c.version != "variant"
	})
}

// module is the version of a module that a Go program was built from.
func module(program, path string) string {
	out, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) >= 3 && (f[0] == "dep" || f[0] == "mod") && f[1] == path {
			return f[1] + " " + f[2]
		}
	}
	return "version unknown"
}

// newCbnet is the n-th pair of cbnetd: command is the program, which may follow
// settings of its environment.
func newCbnet(t *testing.T, name, version string, n int, command ...string) *contender {
	ctl, link := tool(t, *flagBin, "cbctl"), fmt.Sprint("cbn", n)
	port, introducer := fmt.Sprint(51820+n), fmt.Sprint(":", 7950+n)
	c := &contender{name: name, version: version}
	dir := func(p *pair) string { return filepath.Join(p.dir, link) }
	for i := range 2 {
		c.addr[i] = fmt.Sprintf("10.%d.0.%d", 66+n, i+1)
	}
	c.prepare = func(p *pair) {
		must(p.t, os.MkdirAll(dir(p), 0o700))
		authority(p.t, ctl, dir(p), "--cidr", fmt.Sprintf("10.%d.0.0/16", 66+n))
		issue(p.t, ctl, dir(p), c.addr[0], "--node", "a", "--role", "introducer")
		issue(p.t, ctl, dir(p), c.addr[1], "--node", "b", "--introducer", underlay[0]+introducer)
	}
	c.start = func(p *pair, host int) *netlab.Process {
		node := []string{"a", "b"}[host]
		args := append(append([]string{"env"}, command...), "--datapath", "userspace", "--interface", link, "--port", port,
			"--bundle", filepath.Join(dir(p), node+".bundle"), "--state", filepath.Join(dir(p), "state-"+node))
		if host == 0 {
			args = append(args, "--introduce", introducer)
		}
		return p.host[host].Start(link, args...)
	}
	return c
}

func authority(t *testing.T, ctl, dir string, args ...string) {
	t.Helper()
	args = append([]string{"ca", "init", "--dir", filepath.Join(dir, "ca"), "--mesh", "bench"}, args...)
	if out, err := exec.Command(ctl, args...).CombinedOutput(); err != nil {
		t.Fatalf("cbctl ca init: %v\n%s", err, out)
	}
}

// issue makes a node's bundle.
func issue(t *testing.T, ctl, dir, ip string, args ...string) {
	t.Helper()
	out := filepath.Join(dir, args[slices.Index(args, "--node")+1]+".bundle")
	args = append([]string{"ca", "issue", "--dir", filepath.Join(dir, "ca"), "--ip", ip, "--out", out}, args...)
	if b, err := exec.Command(ctl, args...).CombinedOutput(); err != nil {
		t.Fatalf("cbctl %s: %v\n%s", strings.Join(args, " "), err, b)
	}
}

// newBare is wireguard-go as it comes, with addresses 10.NET.0.1 and 2.
func newBare(name, program, version, link string, network, mtu int) *contender {
	c := &contender{name: name, version: version, prepare: func(*pair) {}}
	var keys [2]wgtypes.Key
	for i := range 2 {
		c.addr[i] = fmt.Sprintf("10.%d.0.%d", network, i+1)
	}
	c.prepare = func(p *pair) {
		for i := range keys {
			k, err := wgtypes.GeneratePrivateKey()
			must(p.t, err)
			keys[i] = k
		}
	}
	c.start = func(p *pair, host int) *netlab.Process {
		d := p.host[host].Start(name, "env", "LOG_LEVEL=error", program, "--foreground", link)
		peer := keys[1-host].PublicKey()
		set := fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s:%d\nallowed_ip=%s/32\n\n",
			hex.EncodeToString(keys[host][:]), 52000+network, hex.EncodeToString(peer[:]), underlay[1-host], 52000+network, c.addr[1-host])
		must(p.t, p.until(10*time.Second, func() error {
			return p.host[host].Do(func() error { return tell("/var/run/wireguard/"+link+".sock", set) })
		}))
		must(p.t, p.host[host].Do(func() error { return address(link, c.addr[host]+"/24", mtu) }))
		return d
	}
	return c
}

// tell speaks WireGuard's configuration protocol.
func tell(socket, set string) error {
	s, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := io.WriteString(s, set); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := s.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "errno=0\n") {
		return fmt.Errorf("configuration answered %q: %w", answer[:n], err)
	}
	return nil
}

// newNebulas are the versions of nebula that `make bench` could build: as they
// come, and where they have offloads, with them.
func newNebulas(t *testing.T) []*contender {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(*flagTools, "nebula-*"))
	must(t, err)
	var out []*contender
	for i, dir := range dirs {
		program, cert := tool(t, dir, "nebula"), tool(t, dir, "nebula-cert")
		version := module(program, "github.com/slackhq/nebula")
		if s := filepath.Base(dir); strings.Contains(version, "devel") {
			version = s + " (built from changed sources)"
		}
		out = append(out, newNebula(filepath.Base(dir), version+", as it comes", program, cert, 130+2*i, ""))
		if b, err := os.ReadFile(program); err == nil && strings.Contains(string(b), "tun.use_offloads") {
			out = append(out, newNebula(filepath.Base(dir)+", offloads", version+", tun.use_offloads, listen.udp_offloads",
				program, cert, 131+2*i, "  use_offloads: true\n"))
		}
	}
	return out
}

const nebulaConfig = `pki: {ca: DIR/ca.crt, cert: DIR/HOST.crt, key: DIR/HOST.key}
static_host_map: {"OTHER": ["UNDER:PORT"]}
lighthouse: {am_lighthouse: false}
listen:
  host: 0.0.0.0
  port: PORT
LISTEN
tun:
  dev: LINK
TUN
logging: {level: error}
local_api: {control: {enabled: false}}
firewall:
  outbound: [{port: any, proto: any, host: any}]
  inbound: [{port: any, proto: any, host: any}]
`

func newNebula(name, version, program, cert string, network int, offloads string) *contender {
	c := &contender{name: name, version: version}
	for i := range 2 {
		c.addr[i] = fmt.Sprintf("10.%d.0.%d", network, i+1)
	}
	port := fmt.Sprint(52000 + network)
	dir := func(p *pair) string { return filepath.Join(p.dir, fmt.Sprint("nebula", network)) }
	c.prepare = func(p *pair) {
		must(p.t, os.MkdirAll(dir(p), 0o700))
		nebulaCert(p, dir(p), cert, "ca", "-name", "bench")
		for i, host := range []string{"a", "b"} {
			nebulaCert(p, dir(p), cert, "sign", "-name", host, "-ip", c.addr[i]+"/24")
			listen := ""
			if offloads != "" {
				listen = "  udp_offloads: true\n"
			}
			text := strings.NewReplacer("DIR", dir(p), "HOST", host, "OTHER", c.addr[1-i], "UNDER", underlay[1-i], "PORT", port,
				"LINK", fmt.Sprintf("neb%d", network), "LISTEN\n", listen, "TUN\n", offloads).Replace(nebulaConfig)
			must(p.t, os.WriteFile(filepath.Join(dir(p), host+".yml"), []byte(text), 0o600))
		}
	}
	c.start = func(p *pair, host int) *netlab.Process {
		return p.host[host].Start(name, program, "-config", filepath.Join(dir(p), []string{"a", "b"}[host]+".yml"))
	}
	return c
}

func nebulaCert(p *pair, dir, cert string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(cert, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("nebula-cert %v: %v\n%s", args, err, out)
	}
}
