package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHybrid is the main job with everything that must hold while it runs: the
// steps build on each other.
func TestHybrid(t *testing.T) {
	s := newSystem(t)
	badInput(t, s)

	start := time.Now()
	s.mustCtl(t, "mcis", "apply", "-f", "examples/hybrid.yaml", "--yes")
	t.Logf("apply took %s (simulated clouds)", time.Since(start).Round(100*time.Millisecond))
	st := s.status(t, "shop")
	if st.Phase != "ready" || st.Desired != 4 || st.Ready != 4 || len(st.Nodes) != 4 {
		t.Fatalf("status %+v", st)
	}

	t.Run("all pairs", func(t *testing.T) { allPairs(t, s, st) })
	t.Run("foreign clients see the same", func(t *testing.T) { foreignClients(t, s) })
	t.Run("apply again changes nothing", func(t *testing.T) {
		s.mustCtl(t, "mcis", "apply", "-f", "examples/hybrid.yaml", "--yes")
		if again := s.status(t, "shop"); fmt.Sprint(again.Nodes) != fmt.Sprint(st.Nodes) {
			t.Errorf("nodes were %+v\nand are %+v", st.Nodes, again.Nodes)
		}
	})
	t.Run("stranger gets no byte", func(t *testing.T) { stranger(t) })
	t.Run("without the server", func(t *testing.T) { withoutServer(t, s, st) })
	t.Run("delete", func(t *testing.T) {
		s.startServer(t)
		s.mustCtl(t, "mcis", "delete", "shop", "--yes")
		s.empty(t)
		s.mustCtl(t, "mcis", "delete", "shop", "--yes")
		r := s.ctl(t, "mcis", "status", "shop", "-o", "json")
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "not found") {
			t.Errorf("status of a deleted MCIS: %+v", r)
		}
	})
}

// badInput: all faults at once with line numbers, exit 2, nothing created.
func badInput(t *testing.T, s *system) {
	t.Helper()
	file := s.spec(t, `kind: MCIS
name: shop
network: {cidr: 10.66.8.0/99}
groups:
  - name: web
    cloud: nowhere
    count: -1
    flavour: large
`)
	for _, verb := range [][]string{{"mcis", "plan", "-f", file}, {"mcis", "apply", "-f", file, "--yes"}} {
		r := s.ctl(t, verb...)
		if r.code != 2 {
			t.Errorf("%v: exit %d, want 2\n%s", verb, r.code, r.stderr)
		}
		for _, want := range []string{":3: ", ":6: ", ":7: ", ":8: ", "nowhere", "flavour", "count", "cidr"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%v does not say %q:\n%s", verb, want, r.stderr)
			}
		}
		if r.stdout != "" {
			t.Errorf("%v printed %q", verb, r.stdout)
		}
	}
	s.empty(t)
}

// allPairs: every node pings every other over both overlay addresses.
func allPairs(t *testing.T, s *system, st status) {
	ip6 := make(map[string]string)
	for _, n := range st.Nodes {
		r := s.exec(t, "shop", n.Name, "sh", "-c", "ip -6 -o addr show dev cbn0 scope global")
		f := strings.Fields(r.stdout)
		i := slices.Index(f, "inet6")
		if r.code != 0 || i < 0 {
			t.Fatalf("%s has no IPv6 overlay address: %+v", n.Name, r)
		}
		ip6[n.Name], _, _ = strings.Cut(f[i+1], "/")
	}
	for _, from := range st.Nodes {
		for _, to := range st.Nodes {
			if from.Name == to.Name {
				continue
			}
			for _, addr := range []string{to.IP, ip6[to.Name]} {
				if r := s.exec(t, "shop", from.Name, "ping", "-n", "-c", "1", "-W", "5", addr); r.code != 0 {
					t.Errorf("%s cannot reach %s at %s: %s%s", from.Name, to.Name, addr, r.stdout, r.stderr)
				}
			}
		}
	}
}

// foreignClients: the vendors' own command lines list the VMs of the inventory.
func foreignClients(t *testing.T, s *system) {
	want := map[string][]string{}
	for _, o := range s.inventory(t) {
		if o.Kind == "vm" {
			want[o.Cloud] = append(want[o.Cloud], o.ID)
		}
	}
	r := command(t, []string{"AWS_SHARED_CREDENTIALS_FILE=" + s.credentials("aws"), "AWS_PAGER="}, "aws", "--endpoint-url", s.urls["aws"],
		"--region", "ap-northeast-2", "ec2", "describe-instances", "--query", "Reservations[].Instances[].InstanceId", "--output", "json")
	sameIDs(t, "aws", r, want["aws"], func(out []byte) (ids []string, err error) {
		return ids, json.Unmarshal(out, &ids)
	})
	r = command(t, []string{"OS_CLIENT_CONFIG_FILE=" + s.cloudsYAML(t), "OS_CLOUD=" + s.cloudName(t)}, "openstack", "server", "list", "-f", "json")
	sameIDs(t, "openstack", r, want["openstack"], func(out []byte) (ids []string, err error) {
		var rows []struct{ ID string }
		err = json.Unmarshal(out, &rows)
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		return ids, err
	})
}

func sameIDs(t *testing.T, cloud string, r result, want []string, parse func([]byte) ([]string, error)) {
	t.Helper()
	if r.code != 0 {
		t.Errorf("%s client: exit %d\n%s", cloud, r.code, r.stderr)
		return
	}
	got, err := parse([]byte(r.stdout))
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || len(want) != 2 || !slices.Equal(got, want) {
		t.Errorf("%s client lists %v (%v), inventory %v", cloud, got, err, want)
	}
}

// cloudsYAML gives the credentials a name that the openstack client accepts.
func (s *system) cloudsYAML(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(s.credentials("openstack"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "clouds.yaml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *system) cloudName(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(s.credentials("openstack"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^clouds:\s*\n\s+([\w-]+):`).FindSubmatch(data)
	if m == nil {
		t.Fatalf("credentials of openstack name no cloud")
	}
	return string(m[1])
}

// stranger: whoever does not know the mesh gets nothing from an introducer,
// whether it is silent, talks TLS or talks nonsense.
func stranger(t *testing.T) {
	for _, hello := range []string{"", "\x16\x03\x01\x00\x05hello", strings.Repeat("GET / HTTP/1.1\r\n\r\n", 100)} {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, "7950"), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		// The introducer may close while we write: that is as good.
		if _, err := conn.Write([]byte(hello)); err != nil {
			t.Logf("write: %v", err)
		}
		n, err := conn.Read(make([]byte, 1))
		if n != 0 || err == nil {
			t.Errorf("a stranger that said %.10q got %d bytes", hello, n)
		}
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("a stranger that said %.10q was not hung up on", hello)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// withoutServer: the server goes; a stream between the clouds loses nothing,
// and nodes that are stopped or killed come back by themselves.
func withoutServer(t *testing.T, s *system, st status) {
	ns := s.vms(t)
	ip := map[string]string{}
	for _, n := range st.Nodes {
		ip[n.Name] = n.IP
	}
	stream := startStream(t, ns["shop-web-1"], ip["shop-db-1"])
	stream.sent(t, 100)
	s.server.kill(t)
	stream.sent(t, stream.count()+500)
	stream.finish(t)

	for _, tt := range []struct {
		node string
		how  syscall.Signal
	}{{"shop-web-2", syscall.SIGTERM}, {"shop-app-1", syscall.SIGKILL}, {"shop-db-1", syscall.SIGKILL}} {
		var others []string
		for _, n := range st.Nodes {
			if n.Name != tt.node {
				others = append(others, ns[n.Name])
			}
		}
		took := restartDaemon(t, ns[tt.node], ip[tt.node], others, tt.how)
		t.Logf("%s after %s: reachable from %d others %s after its start", tt.node, tt.how, len(others), took.Round(10*time.Millisecond))
		if took > 2*time.Second {
			t.Errorf("%s was reachable only %s after its start", tt.node, took)
		}
	}
}
