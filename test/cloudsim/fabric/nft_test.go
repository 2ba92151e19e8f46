package fabric

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// rulesets are the routers whose rules are kept as golden files.
func rulesets() map[string]routerConfig {
	cidr := prefix("10.0.0.0/16")
	web := []Rule{
		{Ingress: true, Protocol: "tcp", FromPort: 443, ToPort: 443, CIDR: prefix("0.0.0.0/0")},
		{Ingress: true, Protocol: "tcp", FromPort: 8000, ToPort: 8080, CIDR: prefix("198.18.0.1/32")},
		{Ingress: true, Protocol: "udp"},
		{Ingress: true, Protocol: "icmp", FromPort: 8, ToPort: -1},
		{Ingress: true, Protocol: "icmp", FromPort: -1, ToPort: -1, CIDR: prefix("10.0.1.7/16")},
		{Ingress: true, Protocol: "47"},
		{Ingress: true, CIDR: prefix("::/0")}, // another family: no rule
		{},
	}
	routers := map[string]routerConfig{
		"alibaba": {
			Index: 1, CIDR: cidr, Attached: true, MetadataIP: addr("100.100.100.200"),
			Public: []mapping{{addr("198.18.1.1"), addr("10.0.1.5")}},
			Ports:  []port{{VM: 1, IP: addr("10.0.1.5"), Rules: []Rule{{}}}},
		},
		"empty":    {Index: 1, CIDR: cidr},
		"detached": {Index: 1, CIDR: cidr, Ports: []port{{VM: 1, IP: addr("10.0.1.5"), Rules: web}}},
		"aws": {
			Index: 1, CIDR: cidr, Attached: true,
			Public: []mapping{{addr("198.18.1.1"), addr("10.0.1.5")}, {addr("198.18.1.2"), addr("10.0.1.6")}},
			Ports:  []port{{VM: 1, IP: addr("10.0.1.5"), Rules: []Rule{{}}}, {VM: 2, IP: addr("10.0.1.6")}},
		},
		"aws-none-public": {Index: 1, CIDR: cidr, Attached: true, Ports: []port{{VM: 1, IP: addr("10.0.1.5"), Rules: []Rule{{}}}}},
		"neutron": {
			Index: 2, CIDR: prefix("10.0.1.0/24"), Attached: true, SNAT: addr("198.18.1.9"),
			Public: []mapping{{addr("198.18.1.1"), addr("10.0.1.5")}},
			Ports:  []port{{VM: 3, IP: addr("10.0.1.5"), Rules: []Rule{{}}}, {VM: 4, IP: addr("10.0.1.6"), Rules: []Rule{{}}}},
		},
	}
	for name, c := range routers {
		if !c.MetadataIP.IsValid() {
			c.MetadataIP = addr(metadataIP)
			routers[name] = c
		}
	}
	return routers
}

func TestRuleset(t *testing.T) {
	for name, c := range rulesets() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name+".nft")
			got := ruleset(c)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("rules (-want +got), -update writes them:\n%s", d)
			}
		})
	}
}

// TestRulesetLoads has nft itself judge the golden rules, in a namespace.
func TestRulesetLoads(t *testing.T) {
	nft, err := lookPath("nft")
	if os.Geteuid() != 0 || err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root and nft")
		}
		t.Skip("needs root and nft")
	}
	name := "csimtest-" + filepath.Base(t.TempDir())
	if _, err := prepareNetnsDir(); err != nil {
		t.Fatal(err)
	}
	if err := makeNetns(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := removeNetns(name); err != nil {
			t.Error(err)
		}
	})
	for file, c := range rulesets() {
		cmd := exec.CommandContext(t.Context(), nft, "-f", "-")
		cmd.Stdin = bytes.NewBufferString(ruleset(c))
		var out []byte
		err := inNetns(name, func() (err error) {
			out, err = cmd.CombinedOutput()
			return err
		})
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

func TestPool(t *testing.T) {
	p := newPool()
	a, err := p.allocate()
	if err != nil {
		t.Fatal(err)
	}
	if !Internet().Contains(a) || a == HostIP() {
		t.Fatalf("got %s, want another address of %s", a, Internet())
	}
	if err := p.release(a); err != nil {
		t.Fatal(err)
	}
	if err := p.release(a); err == nil {
		t.Error("released twice without an error")
	}
	if b, err := p.allocate(); err != nil || b == a {
		t.Errorf("got %s, %v; want an address that rested longer than %s", b, err, a)
	}
	for i := 0; ; i++ {
		if _, err := p.allocate(); err != nil {
			if i < 100_000 {
				t.Errorf("exhausted after %d addresses: %v", i, err)
			}
			break
		}
	}
}

func TestConsoleKeepsTheEnd(t *testing.T) {
	c := newConsole()
	for range 5 {
		if _, err := c.Write(bytes.Repeat([]byte("a"), consoleSize/2)); err != nil {
			t.Fatal(err)
		}
	}
	c.Write([]byte("end"))
	got := c.bytes()
	if len(got) != consoleSize || !bytes.HasSuffix(got, []byte("aend")) {
		t.Errorf("got %d bytes ending in %q", len(got), got[len(got)-4:])
	}
	c.Write(bytes.Repeat([]byte("b"), 3*consoleSize))
	if got := c.bytes(); len(got) != consoleSize || got[0] != 'b' {
		t.Errorf("got %d bytes beginning with %q", len(got), got[:1])
	}
}

func TestUnescapeMount(t *testing.T) {
	for in, want := range map[string]string{`/a`: "/a", `/a\040b`: "/a b", `/a\134040`: `/a\040`} {
		if got := unescapeMount(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestProcessIdentity(t *testing.T) {
	p, err := processOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Error("this process is not alive")
	}
	p.Start++
	if p.alive() {
		t.Error("a process that started at another time passes for this one")
	}
}
