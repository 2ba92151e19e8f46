package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// host is this machine as the simulated internet knows it.
const host = "198.18.0.1"

// system is simulated clouds and a control plane.
type system struct {
	dir    string
	clouds *process
	urls   map[string]string // of the simulated clouds, and "admin"
	server *process
	args   []string // of the server
}

// status is what `mcis status -o json` prints.
type status struct {
	Name, Phase    string
	Desired, Ready int
	Nodes          []node
}

type node struct {
	Name, Group, Cloud, Region, ID, IP, PublicIP, PrivateIP, Phase, Reason, Console string
}

// object is one row of the simulated clouds' inventory.
type object struct {
	Cloud, Region, Kind, ID, Name, State, NetNS string
	Tags                                        map[string]string
}

// newSystem starts simulated clouds, and a control plane with more arguments
// if wanted, and tells it of the two clouds.
func newSystem(t *testing.T, serverArgs ...string) *system {
	t.Helper()
	s := &system{dir: t.TempDir()}
	t.Cleanup(func() {
		if t.Failed() {
			tail(t, filepath.Join(s.dir, "cbserver.log"))
			tail(t, filepath.Join(s.dir, "cloudsim.log"))
		}
	})
	s.clouds = launch(t, "cloudsim", s.dir, "--listen", "127.0.0.1:0", "--state", filepath.Join(s.dir, "cloudsim"), "--boot-time", "200ms")
	eventually(t, 60*time.Second, "cloudsim ready", func() error {
		return json.Unmarshal([]byte(s.clouds.out.String()), &s.urls)
	})
	s.args = append([]string{"--data", filepath.Join(s.dir, "server"), "--mesh", "test", "--public", host}, serverArgs...)
	s.startServer(t)
	for _, c := range [][2]string{{"aws", "aws"}, {"private", "openstack"}} {
		s.mustCtl(t, "cloud", "add", c[0], "--provider", c[1], "--endpoint", s.urls[c[1]], "--credentials", s.credentials(c[1]))
	}
	return s
}

func (s *system) credentials(provider string) string {
	return filepath.Join(s.dir, "cloudsim", "credentials", provider)
}

// startServer starts the control plane and waits until it answers.
func (s *system) startServer(t *testing.T) {
	t.Helper()
	s.server = launch(t, "cbserver", s.dir, s.args...)
	eventually(t, 60*time.Second, "cbserver ready", func() error {
		select {
		case <-s.server.done:
			t.Fatalf("cbserver ended: %v", s.server.err)
		default:
		}
		if _, err := os.Stat(s.context()); err != nil {
			return err
		}
		if r := s.ctl(t, "mcis", "list"); r.code != 0 {
			return errors.New(r.stderr)
		}
		return nil
	})
}

func (s *system) context() string { return filepath.Join(s.dir, "server", "admin.context") }

// ctl runs cbctl against the control plane.
func (s *system) ctl(t *testing.T, args ...string) result {
	t.Helper()
	return command(t, []string{"CBCTL_CONTEXT=" + s.context()}, bin("cbctl"), args...)
}

// mustCtl runs cbctl, which must succeed, and returns what it printed.
func (s *system) mustCtl(t *testing.T, args ...string) string {
	t.Helper()
	r := s.ctl(t, args...)
	if r.code != 0 {
		t.Fatalf("cbctl %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// exec runs a command on one node through the control plane.
func (s *system) exec(t *testing.T, mcis, node string, cmd ...string) result {
	t.Helper()
	return s.ctl(t, append([]string{"mcis", "exec", mcis, "--node", node, "--"}, cmd...)...)
}

func (s *system) status(t *testing.T, mcis string) status {
	t.Helper()
	var st status
	if err := json.Unmarshal([]byte(s.mustCtl(t, "mcis", "status", mcis, "-o", "json")), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// inventory lists what clients created in the clouds and is not gone.
func (s *system) inventory(t *testing.T) []object {
	t.Helper()
	resp, err := http.Get(s.urls["admin"] + "/inventory")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all, live []object
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.State != "terminated" && o.State != "deleted" {
			live = append(live, o)
		}
	}
	return live
}

// vms maps the names of the live VMs to their network namespaces.
func (s *system) vms(t *testing.T) map[string]string {
	t.Helper()
	m := make(map[string]string)
	for _, o := range s.inventory(t) {
		if o.Kind != "vm" {
			continue
		}
		name := o.Name
		if n := o.Tags["cbnet-node"]; n != "" {
			name = n
		}
		if m[name] != "" {
			t.Errorf("two VMs for %s", name)
		}
		m[name] = o.NetNS
	}
	return m
}

// faults sets the simulated clouds' faults.
func (s *system) faults(t *testing.T, config map[string]any) {
	t.Helper()
	body, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.urls["admin"]+"/faults", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("faults: %s", resp.Status)
	}
}

// spec writes an MCIS spec to a file and returns its path.
func (s *system) spec(t *testing.T, yaml string) string {
	t.Helper()
	path := filepath.Join(s.dir, fmt.Sprintf("spec-%d.yaml", time.Now().UnixNano()))
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// empty fails the test when anything is left in the clouds.
func (s *system) empty(t *testing.T) {
	t.Helper()
	if left := s.inventory(t); len(left) != 0 {
		t.Errorf("left in the clouds: %+v", left)
	}
}
