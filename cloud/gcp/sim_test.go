package gcp_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	"github.com/cbnet-io/cbnet/cloud/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	simgcp "github.com/cbnet-io/cbnet/test/cloudsim/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// site is a simulated cloud behind a server, whose machines have states only.
type site struct {
	sim    *simgcp.Cloud
	faults *faults.Injector
	url    string
}

// open starts a cloud. What it hides of new machines it shows before they run,
// so that the number of calls does not depend on the test's speed.
func open(t *testing.T, change ...func(*simgcp.Options)) *site {
	t.Helper()
	f := simtest.Paper(t, 50*time.Millisecond)
	srv := httptest.NewUnstartedServer(nil)
	s := &site{faults: faults.New(faults.Config{}), url: "http://" + srv.Listener.Addr().String()}
	o := simgcp.Options{Fabric: f, Faults: s.faults, URL: s.url, OpTime: 20 * time.Millisecond, Hidden: 40 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s.sim = simgcp.New(o)
	srv.Config.Handler = s.sim.Handler()
	srv.Start()
	t.Cleanup(func() {
		srv.Close()
		s.sim.Close()
	})
	return s
}

func newDriver(t testing.TB, cfg gcp.Config) *gcp.Driver {
	t.Helper()
	d, err := gcp.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// unknownID has the form of an id.
func unknownID(kind cloud.Kind) string {
	if kind == cloud.KindVM {
		return "asia-northeast3-a/1234567890123456789"
	}
	return "nothing-asia-northeast3"
}

// get reads a resource by its path below the project, as any client could.
func (s *site) get(t testing.TB, path string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/compute/v1/projects/cloudsim/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	v := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("get %s: %d, %v, %v", path, resp.StatusCode, v, err)
	}
	return v
}

// metadata returns the metadata of a machine.
func (s *site) metadata(t testing.TB, id string) map[string]string {
	t.Helper()
	zone, number, _ := strings.Cut(id, "/")
	items := map[string]string{}
	meta, _ := s.get(t, "zones/"+zone+"/instances/"+number)["metadata"].(map[string]any)
	list, _ := meta["items"].([]any)
	for _, i := range list {
		item, _ := i.(map[string]any)
		items[fmt.Sprint(item["key"])] = fmt.Sprint(item["value"])
	}
	return items
}

// vmKey returns the key that a machine's usual user accepts.
func (s *site) vmKey(t testing.TB, id string) string {
	_, key, _ := strings.Cut(s.metadata(t, id)["ssh-keys"], "debian:")
	return key
}

// TestSim runs the suite against the simulated Compute Engine. It honours
// everything and has no quirks. Every request and every reply that the driver
// sees is as Google's discovery document describes it.
func TestSim(t *testing.T) {
	t.Parallel()
	s := open(t)
	google := newGoogle(t)
	const region = "asia-northeast3"
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver {
			return newDriver(t, gcp.Config{Endpoint: s.url, Credentials: s.sim.Credentials(), Transport: google.check(t, transport)})
		},
		NewWrong: func(t testing.TB) cloud.Driver {
			wrong := strings.Replace(string(s.sim.UserCredentials()), "1//", "1//wrong", 1)
			return newDriver(t, gcp.Config{Endpoint: s.url, Credentials: []byte(wrong), Transport: google.check(t, nil)})
		},
		Region:       region,
		Image:        "debian-12",
		VCPU:         2,
		MemoryMiB:    4096,
		MaxUserData:  gcp.MaxUserData,
		UnknownID:    unknownID,
		UnknownImage: "projects/debian-cloud/global/images/debian-12-bookworm-v19700101",
		Kinds:        []cloud.Kind{cloud.KindNetwork, cloud.KindSubnet, cloud.KindSecurityGroup},
		NATKinds:     []cloud.Kind{cloud.KindRouter},
		VMKey:        s.vmKey,
		Tick:         20 * time.Millisecond,
		Inventory:    simtest.Inventory(s.sim.Inventory),
		SetFaults:    simtest.SetFaults(s.faults, "gcp", region),
	})
}
