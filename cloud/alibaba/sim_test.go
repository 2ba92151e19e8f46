package alibaba_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/alibaba"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	simalibaba "github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// region is where all tests are.
const region = "ap-northeast-2"

// site is a simulated cloud behind a server.
type site struct {
	cloud  *simalibaba.Cloud
	faults *faults.Injector
	url    string
}

// open starts a simulated cloud whose machines have states only.
func open(t testing.TB) *site {
	t.Helper()
	f := simtest.Paper(t, 50*time.Millisecond)
	s := &site{faults: faults.New(faults.Config{})}
	s.cloud = simalibaba.New(simalibaba.Options{
		Fabric: f, Faults: s.faults, Settle: 20 * time.Millisecond, Hidden: 30 * time.Millisecond, Processing: 5 * time.Millisecond,
	})
	srv := httptest.NewServer(http.StripPrefix("/alibaba", s.cloud.Handler())) // as cloudsim serves it
	s.url = srv.URL + "/alibaba"
	t.Cleanup(func() {
		srv.Close()
		s.cloud.Close()
	})
	return s
}

func (s *site) driver(t testing.TB, transport http.RoundTripper) *alibaba.Driver {
	return newDriver(t, alibaba.Config{Endpoint: s.url, Credentials: s.cloud.Credentials(), Transport: transport, Poll: 10 * time.Millisecond})
}

func newDriver(t testing.TB, cfg alibaba.Config) *alibaba.Driver {
	t.Helper()
	d, err := alibaba.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// unknownID has the form of an id.
func unknownID(kind cloud.Kind) string {
	prefix := map[cloud.Kind]string{
		cloud.KindVM: "i-", cloud.KindSecurityGroup: "sg-", cloud.KindSubnet: "vsw-", cloud.KindNetwork: "vpc-",
	}[kind]
	return prefix + "t4n0123456789abcdefg"
}

// target is the simulated cloud as the suite sees it. It honours everything and
// has no quirks.
func (s *site) target() cloudtest.Target {
	return cloudtest.Target{
		VMKey: s.keyOf,
		New:   func(t testing.TB, transport http.RoundTripper) cloud.Driver { return s.driver(t, transport) },
		NewWrong: func(t testing.TB) cloud.Driver {
			return newDriver(t, alibaba.Config{Endpoint: s.url, Credentials: []byte(
				`{"current": "default", "profiles": [{"name": "default", "mode": "AK", "access_key_id": "LTAIEXAMPLE", "access_key_secret": "wrong"}]}`)})
		},
		Region:       region,
		Image:        "debian-12",
		VCPU:         2,
		MemoryMiB:    4096,
		MaxUserData:  alibaba.MaxUserData,
		UnknownID:    unknownID,
		UnknownImage: "debian_12_0_x64_20G_alibase_20200101.vhd",
		Kinds:        []cloud.Kind{cloud.KindNetwork, cloud.KindSubnet, cloud.KindSecurityGroup},
		Tick:         20 * time.Millisecond,
		Inventory:    simtest.Inventory(s.cloud.Inventory),
		SetFaults:    simtest.SetFaults(s.faults, "alibaba", region),
	}
}

// TestSim runs the suite against the simulated cloud, then what the suite does
// not call, and has the vendor's Node SDK judge all the requests.
func TestSim(t *testing.T) {
	t.Parallel()
	s := open(t)
	all := &tape{seen: map[call][]map[string]bool{}}
	target := s.target()
	target.New = func(t testing.TB, transport http.RoundTripper) cloud.Driver {
		if transport == nil {
			transport = http.DefaultTransport
		}
		return s.driver(t, recorder{all, transport})
	}
	t.Run("suite", func(t *testing.T) { cloudtest.Run(t, target) })
	t.Run("everything", func(t *testing.T) { everything(t, s.driver(t, recorder{all, http.DefaultTransport})) })
	t.Run("models", all.judge)
}
