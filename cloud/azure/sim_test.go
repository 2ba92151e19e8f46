package azure_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/azure"
	"github.com/cbnet-io/cbnet/cloud/cloudtest"
	simazure "github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// region is where the tests work.
const region = "koreacentral"

// lab is a simulated Azure whose machines have states only.
type lab struct {
	sim          *simazure.Cloud
	faults       *faults.Injector
	url          string
	subscription string
}

// open starts a lab; change may alter its options.
func open(t *testing.T, change ...func(*simazure.Options)) *lab {
	t.Helper()
	f := simtest.Paper(t, 50*time.Millisecond)
	l := &lab{faults: faults.New(faults.Config{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/azure", l.sim.Handler()).ServeHTTP(w, r)
	}))
	l.url = srv.URL + "/azure"
	o := simazure.Options{Fabric: f, Faults: l.faults, URL: l.url, Latency: 15 * time.Millisecond, Hidden: 30 * time.Millisecond, PageSize: 3}
	for _, c := range change {
		c(&o)
	}
	l.sim = simazure.New(o)
	var file struct {
		SubscriptionID string `json:"subscriptionId"`
	}
	if err := json.Unmarshal(l.sim.Credentials(), &file); err != nil {
		t.Fatal(err)
	}
	l.subscription = file.SubscriptionID
	t.Cleanup(func() {
		srv.Close()
		l.sim.Close()
	})
	return l
}

func (l *lab) driver(t testing.TB, transport http.RoundTripper) *azure.Driver {
	t.Helper()
	return newDriver(t, azure.Config{Endpoint: l.url, Credentials: l.sim.Credentials(), Transport: transport, Poll: 5 * time.Millisecond})
}

func newDriver(t testing.TB, cfg azure.Config) *azure.Driver {
	t.Helper()
	d, err := azure.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// unknownID is the id of something that does not exist.
func (l *lab) unknownID(kind cloud.Kind) string {
	group := "/subscriptions/" + l.subscription + "/resourceGroups/nobodys"
	return group + map[cloud.Kind]string{
		cloud.KindVM:            "/providers/Microsoft.Compute/virtualMachines/nobodys",
		cloud.KindSecurityGroup: "/providers/Microsoft.Network/networkSecurityGroups/nobodys",
		cloud.KindSubnet:        "/providers/Microsoft.Network/virtualNetworks/nobodys/subnets/nobodys",
		cloud.KindNetwork:       "/providers/Microsoft.Network/virtualNetworks/nobodys",
		cloud.KindGroup:         "",
	}[kind]
}

// TestSim runs the suite against the simulated Azure, whose machines here have
// states only. It honours everything and has no quirks.
func TestSim(t *testing.T) {
	t.Parallel()
	l := open(t)
	cloudtest.Run(t, cloudtest.Target{
		New: func(t testing.TB, transport http.RoundTripper) cloud.Driver { return l.driver(t, transport) },
		NewWrong: func(t testing.TB) cloud.Driver {
			var file map[string]string
			if err := json.Unmarshal(l.sim.Credentials(), &file); err != nil {
				t.Fatal(err)
			}
			file["clientSecret"] = "wrong"
			wrong, err := json.Marshal(file)
			if err != nil {
				t.Fatal(err)
			}
			return newDriver(t, azure.Config{Endpoint: l.url, Credentials: wrong})
		},
		Region:       region,
		Image:        "debian-12",
		VCPU:         2,
		MemoryMiB:    4096,
		MaxUserData:  azure.MaxUserData,
		UnknownID:    l.unknownID,
		UnknownImage: "Debian:debian-12:12-gen2:0.0.0",
		VMKey:        l.key,
		Kinds:        []cloud.Kind{cloud.KindNetwork, cloud.KindSecurityGroup, cloud.KindGroup},
		Tick:         20 * time.Millisecond,
		Inventory:    simtest.Inventory(l.sim.Inventory),
		SetFaults:    simtest.SetFaults(l.faults, "azure", region),
	})
}

// do makes a request past the driver, as another client would, and returns the
// answer's body.
func (l *lab) do(t testing.TB, method, id, body string) []byte {
	t.Helper()
	var file map[string]string
	if err := json.Unmarshal(l.sim.Credentials(), &file); err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(l.url+"/"+file["tenantId"]+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {file["clientId"]}, "client_secret": {file["clientSecret"]}, "scope": {l.url + "/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, l.url+id+"?api-version=2025-05-01", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Value)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusNotFound {
		t.Fatalf("%s %s: %s %s", method, id, answer.Status, text)
	}
	return text
}

// key returns the key that a machine was made with, "" if it is not shown yet.
func (l *lab) key(t testing.TB, id string) string {
	t.Helper()
	var vm struct {
		Properties struct {
			OSProfile struct {
				LinuxConfiguration struct {
					SSH struct {
						PublicKeys []struct{ KeyData string }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(l.do(t, http.MethodGet, id, ""), &vm); err != nil {
		t.Fatal(err)
	}
	if keys := vm.Properties.OSProfile.LinuxConfiguration.SSH.PublicKeys; len(keys) == 1 {
		return keys[0].KeyData
	}
	return ""
}
