package scale_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/providers"
)

var cidr = netip.MustParsePrefix("10.0.0.0/24")

// sim is a cloudsim that runs, with a guarded driver for each cloud it has.
type sim struct {
	t      *testing.T
	admin  string
	clouds map[string]cloud.Driver
	calls  tally
	lists  atomic.Int64
	tick   time.Duration // between two lists of a region
}

// place is a region and what machines there are made of.
type place struct {
	cloud, name string
	driver      cloud.Driver
	spec, image string
}

func (p place) String() string { return p.cloud + "/" + p.name }

// start runs bin/cloudsim without machines for the length of the test.
func start(t *testing.T, boot time.Duration) *sim {
	t.Helper()
	path, err := filepath.Abs("../../bin/cloudsim")
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	cmd := exec.Command(path, "--state", state, "--no-machines", "--boot-time", boot.String(), "--log-level", "error")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: make build makes it", err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("cloudsim: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("cloudsim says nothing: %v", err)
	}
	var urls map[string]string
	if err := json.Unmarshal(line, &urls); err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, admin: urls["admin"], clouds: map[string]cloud.Driver{}}
	s.calls.reset()
	delete(urls, "admin")
	for name, url := range urls {
		file, err := os.ReadFile(filepath.Join(state, "credentials", name))
		if err != nil {
			t.Fatal(err)
		}
		d, err := providers.New(t.Context(), providers.Config{
			Account: name, Provider: name, Endpoint: url, Credentials: file, Transport: counting{name, &s.calls},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.clouds[name] = d
	}
	return s
}

// counting counts what a driver sends, below its guard.
type counting struct {
	cloud string
	calls *tally
}

// transport has room for the connections of a hundred regions.
var transport = &http.Transport{MaxIdleConnsPerHost: 256}

// RoundTrip implements http.RoundTripper.
func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	p, _ := req.Context().Value(phaseKey{}).(phase)
	c.calls.add(c.cloud, p)
	return transport.RoundTrip(req)
}

// places returns up to n regions, of every cloud in turn.
func (s *sim) places(n int) []place {
	s.t.Helper()
	var lists [][]place
	for name, d := range s.clouds {
		regions, err := d.Regions(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		var list []place
		for _, r := range regions {
			list = append(list, place{cloud: name, name: r.Name, driver: d})
		}
		lists = append(lists, list)
	}
	slices.SortFunc(lists, func(a, b []place) int { return strings.Compare(a[0].cloud, b[0].cloud) })
	var out []place
	for i := 0; len(out) < n; i++ {
		before := len(out)
		for _, list := range lists {
			if i < len(list) && len(out) < n {
				out = append(out, s.resolve(list[i]))
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

// resolve asks the region's catalogue.
func (s *sim) resolve(p place) place {
	s.t.Helper()
	catalog, ok := cloud.As[cloud.Catalog](p.driver)
	if !ok {
		s.t.Fatalf("%s has no catalogue", p)
	}
	specs, err := catalog.Specs(s.t.Context(), p.name)
	if err != nil {
		s.t.Fatal(err)
	}
	images, err := catalog.Images(s.t.Context(), p.name)
	if err != nil {
		s.t.Fatal(err)
	}
	spec, err := cloud.ResolveSpec(specs, "", 1, 512)
	if err != nil {
		s.t.Fatal(err)
	}
	image, err := cloud.ResolveImage(images, "debian-12")
	if err != nil {
		s.t.Fatal(err)
	}
	p.spec, p.image = spec.Name, image.ID
	return p
}

// faults sets the faults in force.
func (s *sim) faults(f map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(f)
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, s.admin+"/faults", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("PUT /faults: %s", resp.Status)
	}
}

// object is a line of cloudsim's inventory.
type object struct {
	Cloud, Region, Kind, ID, Name, State string
	Tags                                 map[string]string
}

// inventory returns what clients have made and what is not gone, as the clouds
// themselves see it.
func (s *sim) inventory() []object {
	s.t.Helper()
	resp, err := http.Get(s.admin + "/inventory")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []object
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(o object) bool { return o.State == "terminated" || o.State == "deleted" })
}

// present checks that there are n machines, each name once.
func (s *sim) present(n int) {
	s.t.Helper()
	names := map[string][]string{}
	for _, o := range s.inventory() {
		if o.Kind == "vm" {
			names[o.Name] = append(names[o.Name], fmt.Sprintf("%s/%s %s", o.Cloud, o.Region, o.ID))
		}
	}
	for name, where := range names {
		if len(where) > 1 {
			s.t.Errorf("DOUBLE: %s is %v", name, where)
		}
	}
	if len(names) != n {
		s.t.Errorf("%d machines, want %d", len(names), n)
	}
}

// absent checks that nothing is left.
func (s *sim) absent() {
	s.t.Helper()
	if left := s.inventory(); len(left) > 0 {
		s.t.Errorf("ORPHANS: %d things are left, the first %+v", len(left), left[0])
	}
}
