package azure_test

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/azure"
	simazure "github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// counter notes the calls that go through it, tokens aside.
type counter struct {
	mu    sync.Mutex
	calls []string
}

// RoundTrip implements http.RoundTripper.
func (c *counter) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/token") {
		p := strings.Split(req.URL.Path, "/")
		kind := p[len(p)-2]
		if req.URL.Query().Has("statusOnly") || strings.HasSuffix(req.URL.Path, "s") && req.Method == http.MethodGet {
			kind = p[len(p)-1]
		}
		c.mu.Lock()
		c.calls = append(c.calls, req.Method+" "+kind)
		c.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(req)
}

func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

var owner = cloud.Owner{Mesh: "mesh-1", MCIS: "mcis-1"}

func networkSpec() cloud.NetworkSpec {
	return cloud.NetworkSpec{
		Owner: owner, Region: region, Name: "net-1", CIDR: netip.MustParsePrefix("10.0.1.0/24"), Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
	}
}

func vmSpec(n cloud.Network) cloud.VMSpec {
	return cloud.VMSpec{
		Owner: owner, Region: region, Name: "web-0", Node: "web-0", Token: "token-1", Network: n, PrivateIP: netip.MustParseAddr("10.0.1.10"),
		Spec: "Standard_B2s", Image: "Debian:debian-12:12-gen2:latest", PublicIP: true,
	}
}

// until lists until a machine is in a state.
func until(t *testing.T, d *azure.Driver, want cloud.VMState) cloud.Resource {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		list, err := d.List(t.Context(), region, owner)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(r cloud.Resource) bool { return r.Kind == cloud.KindVM })
		if i >= 0 && list[i].VM.State == want {
			return list[i]
		}
		if i < 0 && want == "" {
			return cloud.Resource{}
		}
		select {
		case <-deadline:
			t.Fatalf("no machine in state %q: %+v", want, list)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestCallsPerVM holds the driver to its six calls.
func TestCallsPerVM(t *testing.T) {
	l := open(t)
	c := &counter{}
	d := newDriver(t, azure.Config{Endpoint: l.url, Credentials: l.sim.Credentials(), Transport: c, Poll: 50 * time.Millisecond})
	n, err := d.EnsureNetwork(t.Context(), networkSpec())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("network: %q", c.take())
	if _, err := d.CreateVM(t.Context(), vmSpec(n)); err != nil {
		t.Fatal(err)
	}
	create := c.take()
	vm := until(t, d, cloud.VMRunning)
	c.take()
	if err := d.Delete(t.Context(), vm); err != nil {
		t.Fatal(err)
	}
	remove := c.take()
	until(t, d, "")
	c.take()
	if _, err := d.List(t.Context(), region, owner); err != nil {
		t.Fatal(err)
	}
	list := c.take()
	t.Logf("create %q, delete %q, list %q", create, remove, list)
	if len(create)+len(remove) > 6 {
		t.Errorf("%d calls for a machine, want at most 6", len(create)+len(remove))
	}
	if pages := len(list); pages > 7 {
		t.Errorf("%d calls for a list, want 7", pages)
	}
}

// TestAnotherRequest asserts that a token is for one request.
func TestAnotherRequest(t *testing.T) {
	l := open(t, func(o *simazure.Options) { o.Hidden = 0 })
	d := l.driver(t, nil)
	n, err := d.EnsureNetwork(t.Context(), networkSpec())
	if err != nil {
		t.Fatal(err)
	}
	spec := vmSpec(n)
	if _, err := d.CreateVM(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	spec.Spec = "Standard_B4ms"
	if _, err := d.CreateVM(t.Context(), spec); !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("another type: got %v, want ErrConflict", err)
	}
	spec = vmSpec(n)
	spec.Token = "token-2"
	if _, err := d.CreateVM(t.Context(), spec); !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("an address that is taken: got %v, want ErrConflict", err)
	}
}

// TestRefusedLeavesNothing lets a machine with a public address be refused: its
// interface and address go, one after the other.
func TestRefusedLeavesNothing(t *testing.T) {
	for _, reserved := range []time.Duration{0, 100 * time.Millisecond} {
		l := open(t, func(o *simazure.Options) { o.Reserved = reserved })
		d := l.driver(t, nil)
		n, err := d.EnsureNetwork(t.Context(), networkSpec())
		if err != nil {
			t.Fatal(err)
		}
		l.faults.Set(faults.Config{Quota: map[string]int{"azure/vm": 0}})
		_, err = d.CreateVM(t.Context(), vmSpec(n))
		if !errors.Is(err, cloud.ErrQuota) {
			t.Fatalf("got %v, want ErrQuota", err)
		}
		list, err := d.List(t.Context(), region, owner)
		if err != nil {
			t.Fatal(err)
		}
		rest := slices.DeleteFunc(list, func(r cloud.Resource) bool { return r.Kind != cloud.KindPort && r.Kind != cloud.KindPublicIP })
		if reserved == 0 {
			if len(rest) != 0 {
				t.Errorf("left %+v", rest)
			}
			continue
		}
		// Azure keeps the interface for the machine: then it is listed.
		if len(rest) != 2 {
			t.Fatalf("got %+v, want an interface and an address", rest)
		}
		l.faults.Set(faults.Config{})
		deadline := time.Now().Add(20 * time.Second)
		for len(rest) > 0 && time.Now().Before(deadline) {
			for _, r := range cloud.DeleteOrder(rest) {
				if err := d.Delete(t.Context(), r); err != nil && !errors.Is(err, cloud.ErrInUse) {
					t.Fatal(err)
				}
			}
			if list, err = d.List(t.Context(), region, owner); err != nil {
				t.Fatal(err)
			}
			rest = slices.DeleteFunc(list, func(r cloud.Resource) bool { return r.Kind != cloud.KindPort && r.Kind != cloud.KindPublicIP })
		}
		if len(rest) != 0 {
			t.Errorf("left %+v", rest)
		}
	}
}

// TestForeignInGroup asserts that a group with something of others in it stays.
func TestForeignInGroup(t *testing.T) {
	l := open(t)
	d := l.driver(t, nil)
	n, err := d.EnsureNetwork(t.Context(), networkSpec())
	if err != nil {
		t.Fatal(err)
	}
	l.do(t, http.MethodPut, strings.Replace(n.ID, "virtualNetworks/net-1", "networkSecurityGroups/anothers", 1), `{"location": "`+region+`"}`)
	deadline := time.Now().Add(20 * time.Second)
	for {
		list, err := d.List(t.Context(), region, owner)
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for _, r := range cloud.DeleteOrder(list) {
			last = d.Delete(t.Context(), r)
		}
		if len(list) == 1 && list[0].Kind == cloud.KindGroup {
			if !errors.Is(last, cloud.ErrInUse) || !strings.Contains(last.Error(), "anothers") {
				t.Errorf("got %v, want ErrInUse and what is in it", last)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left %+v", list)
		}
	}
}

// TestUnregistered uses a subscription that has never been used.
func TestUnregistered(t *testing.T) {
	l := open(t, func(o *simazure.Options) { o.Unregistered = true })
	d := l.driver(t, nil)
	_, err := d.EnsureNetwork(t.Context(), networkSpec())
	if !errors.Is(err, cloud.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	for deadline := time.Now().Add(20 * time.Second); err != nil; _, err = d.EnsureNetwork(t.Context(), networkSpec()) {
		if !errors.Is(err, cloud.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestForeignGroup asserts that a group of the name that is not ours is left
// alone.
func TestForeignGroup(t *testing.T) {
	l := open(t)
	d := l.driver(t, nil)
	n, err := d.EnsureNetwork(t.Context(), networkSpec())
	if err != nil {
		t.Fatal(err)
	}
	group, _, _ := strings.Cut(n.ID, "/providers/")
	l.do(t, http.MethodPut, group, `{"location": "`+region+`", "tags": {"whose": "anothers"}}`)
	if _, err := d.EnsureNetwork(t.Context(), networkSpec()); !errors.Is(err, cloud.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
}

// TestMachineKeys asserts which key machines get: the network's, or one that
// nobody has the other half of. They never have a password.
func TestMachineKeys(t *testing.T) {
	const own = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHVKkSrhyQ3HLpmY4Fq+fBi3FjVxDzHSgvGTbVYAk4J9 someone"
	l := open(t, func(o *simazure.Options) { o.Hidden = 0 })
	d := l.driver(t, nil)
	for _, key := range []string{own, ""} {
		net := networkSpec()
		net.SSHKey = key
		n, err := d.EnsureNetwork(t.Context(), net)
		if err != nil || n.Key != key {
			t.Fatalf("got %q and %v, want %q", n.Key, err, key)
		}
		spec := vmSpec(n)
		spec.Token, spec.PublicIP, spec.PrivateIP = "token"+key[:min(3, len(key))], false, spec.PrivateIP.Next()
		if key == "" {
			spec.PrivateIP = spec.PrivateIP.Next()
		}
		vm, err := d.CreateVM(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		got := l.key(t, vm.ID)
		if key != "" && got != key || key == "" && !strings.HasPrefix(got, "ssh-rsa ") {
			t.Errorf("with %q the machine has %q", key, got)
		}
		if body := string(l.do(t, http.MethodGet, vm.ID, "")); !strings.Contains(body, `"disablePasswordAuthentication":true`) {
			t.Errorf("a password would do: %s", body)
		}
	}
	net := networkSpec()
	net.SSHKey = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
	if _, err := d.EnsureNetwork(t.Context(), net); !errors.Is(err, cloud.ErrInvalid) {
		t.Errorf("a kind of key that Azure does not take: got %v", err)
	}
}

// TestAddressTaken plans an address that an interface of nobody's machine has:
// one of ours is removed, another's is not.
func TestAddressTaken(t *testing.T) {
	l := open(t)
	d := l.driver(t, nil)
	n, err := d.EnsureNetwork(t.Context(), networkSpec())
	if err != nil {
		t.Fatal(err)
	}
	group, _, _ := strings.Cut(n.ID, "/providers/")
	left := group + "/providers/Microsoft.Network/networkInterfaces/left"
	body := func(tags, ip string) string {
		return `{"location": "` + region + `", "tags": {` + tags + `}, "properties": {"ipConfigurations": [{"name": "c", "properties": {
			"privateIPAllocationMethod": "Static", "privateIPAddress": "` + ip + `", "subnet": {"id": "` + strings.ToUpper(n.SubnetID) + `"}}}]}}`
	}
	spec := vmSpec(n)
	spec.PublicIP = false
	l.do(t, http.MethodPut, left, body(`"cbnet-mesh": "mesh-1", "cbnet-mcis": "another"`, "10.0.1.10"))
	if _, err := d.CreateVM(t.Context(), spec); !errors.Is(err, cloud.ErrConflict) || errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("another's interface: got %v, want ErrConflict", err)
	}
	l.do(t, http.MethodPut, left+"2", body(`"cbnet-mesh": "mesh-1", "cbnet-mcis": "mcis-1"`, "10.0.1.11"))
	spec.PrivateIP = spec.PrivateIP.Next()
	_, err = d.CreateVM(t.Context(), spec)
	if !errors.Is(err, cloud.ErrUnavailable) {
		t.Errorf("an interface of ours: got %v, want ErrUnavailable", err)
	}
	for deadline := time.Now().Add(20 * time.Second); err != nil; _, err = d.CreateVM(t.Context(), spec) {
		if !errors.Is(err, cloud.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
