package openstack_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	osclient "github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/openstack"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

const password = "correct horse"

// withPassword fixes the user's password.
func withPassword(o *openstack.Options) { o.Password = password }

// lab is a session with the clients of the services.
type lab struct {
	*site
	compute, network *gophercloud.ServiceClient
	lan, subnet      string
	public           string
}

// must returns v, or ends the test.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// auth is what the one user logs in with.
func (s *site) auth() gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: s.url + "/v3", Username: "demo", Password: password, DomainName: "Default", TenantName: "demo",
	}
}

// newLab logs in and makes a network with a way out.
func newLab(t *testing.T, change ...func(*openstack.Options)) *lab {
	t.Helper()
	return lay(t, open(t, append(change, withPassword)...))
}

// newLabOn is newLab on a fabric with machines.
func newLabOn(t *testing.T, f *fabric.Fabric) *lab {
	t.Helper()
	return lay(t, openOn(t, f, withPassword))
}

// lay logs in and makes a network with a way out.
func lay(t *testing.T, s *site) *lab {
	t.Helper()
	ctx := t.Context()
	provider := must[*gophercloud.ProviderClient](t)(osclient.AuthenticatedClient(ctx, s.auth()))
	at := gophercloud.EndpointOpts{Region: openstack.Region}
	client := must[*gophercloud.ServiceClient](t)
	l := &lab{site: s, compute: client(osclient.NewComputeV2(provider, at)), network: client(osclient.NewNetworkV2(provider, at))}
	all := must[[]networks.Network](t)
	pages, err := networks.List(l.network, networks.ListOpts{Name: "public"}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.public = all(networks.ExtractNetworks(pages))[0].ID
	l.lan = must[*networks.Network](t)(networks.Create(ctx, l.network, networks.CreateOpts{Name: "lan"}).Extract()).ID
	l.subnet = must[*subnets.Subnet](t)(subnets.Create(ctx, l.network, subnets.CreateOpts{NetworkID: l.lan, CIDR: "10.0.1.0/24", IPVersion: 4}).Extract()).ID
	r := must[*routers.Router](t)(routers.Create(ctx, l.network, routers.CreateOpts{Name: "way", GatewayInfo: &routers.GatewayInfo{NetworkID: l.public}}).Extract())
	must[*routers.InterfaceInfo](t)(routers.AddInterface(ctx, l.network, r.ID, routers.AddInterfaceOpts{SubnetID: l.subnet}).Extract())
	return l
}

// port makes a port with an address.
func (l *lab) port(t *testing.T, ip string) *ports.Port {
	t.Helper()
	return must[*ports.Port](t)(ports.Create(t.Context(), l.network, ports.CreateOpts{
		NetworkID: l.lan, Name: "p-" + ip, FixedIPs: []ports.IP{{SubnetID: l.subnet, IPAddress: ip}},
	}).Extract())
}

// order is a server on a port.
func order(port string) servers.CreateOpts {
	return servers.CreateOpts{
		Name: "web 0", ImageRef: "3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a02", FlavorRef: "2", Networks: []servers.Network{{Port: port}},
		Metadata: map[string]string{"cbnet-node": "web-0"}, UserData: []byte("#!/bin/sh\necho 안녕\n"),
	}
}

// start makes a server.
func (l *lab) start(t *testing.T, o servers.CreateOpts) *servers.Server {
	t.Helper()
	return must[*servers.Server](t)(servers.Create(t.Context(), l.compute, o, nil).Extract())
}

// state returns the state of a server, "gone" when there is none.
func (l *lab) state(t *testing.T, id string) string {
	t.Helper()
	s, err := servers.Get(t.Context(), l.compute, id).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return "gone"
	}
	if err != nil {
		t.Fatal(err)
	}
	return s.Status
}

// reaches waits for a server's state.
func (l *lab) reaches(t *testing.T, id, want string) {
	t.Helper()
	simtest.Until(t, "server is "+want, func() bool { return l.state(t, id) == want })
}

// wantRefusal checks an error's status and that its body has a text.
func wantRefusal(t *testing.T, what string, err error, status int, text string) {
	t.Helper()
	var e gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &e) || e.Actual != status || !strings.Contains(string(e.Body), text) {
		t.Errorf("%s: got %v, want %d with %q", what, err, status, text)
	}
}

func TestLogin(t *testing.T) {
	now := time.Now()
	s := open(t, withPassword, func(o *openstack.Options) {
		o.TokenLife = time.Minute
		o.Now = func() time.Time { return now }
	})
	for _, tt := range []struct {
		name   string
		change func(*gophercloud.AuthOptions)
		want   int
	}{
		{"right", func(*gophercloud.AuthOptions) {}, 0},
		{"wrong password", func(a *gophercloud.AuthOptions) { a.Password = "guess" }, 401},
		{"wrong user", func(a *gophercloud.AuthOptions) { a.Username = "root" }, 401},
		{"wrong project", func(a *gophercloud.AuthOptions) { a.TenantName = "other" }, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.auth()
			tt.change(&a)
			_, err := osclient.AuthenticatedClient(t.Context(), a)
			if tt.want == 0 && err != nil || tt.want != 0 && !gophercloud.ResponseCodeIs(err, tt.want) {
				t.Errorf("got %v, want %d", err, tt.want)
			}
		})
	}
	a := s.auth()
	a.AllowReauth = true
	provider := must[*gophercloud.ProviderClient](t)(osclient.AuthenticatedClient(t.Context(), a))
	first := provider.TokenID
	c := must[*gophercloud.ServiceClient](t)(osclient.NewComputeV2(provider, gophercloud.EndpointOpts{Region: openstack.Region}))
	now = now.Add(2 * time.Minute)
	if _, err := servers.List(c, nil).AllPages(t.Context()); err != nil || provider.TokenID == first {
		t.Errorf("after the token's end: %v, token renewed: %t", err, provider.TokenID != first)
	}
}

func TestLifeCycle(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	p := l.port(t, "10.0.1.20")
	_, err := ports.Create(ctx, l.network, ports.CreateOpts{NetworkID: l.lan, FixedIPs: []ports.IP{{SubnetID: l.subnet, IPAddress: "10.0.1.20"}}}).Extract()
	wantRefusal(t, "an address that is taken", err, 409, "IpAddressAlreadyAllocated")
	s := l.start(t, order(p.ID))
	l.reaches(t, s.ID, "ACTIVE")
	_, err = servers.Create(ctx, l.compute, order(p.ID), nil).Extract()
	wantRefusal(t, "a port that is bound", err, 409, "is still in use")

	f := must[*floatingips.FloatingIP](t)(floatingips.Create(ctx, l.network, floatingips.CreateOpts{FloatingNetworkID: l.public, PortID: p.ID, Description: "cbnet-x"}).Extract())
	_, err = floatingips.Create(ctx, l.network, floatingips.CreateOpts{FloatingNetworkID: l.public, PortID: p.ID}).Extract()
	wantRefusal(t, "a second floating IP", err, 409, "FloatingIPPortAlreadyAssociated")
	text, err := json.Marshal(must[*servers.Server](t)(servers.Get(ctx, l.compute, s.ID).Extract()).Addresses)
	if err != nil || !strings.Contains(string(text), f.FloatingIP) || !strings.Contains(string(text), "10.0.1.20") {
		t.Errorf("addresses %s, want 10.0.1.20 and %s", text, f.FloatingIP)
	}
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return servers.Stop(ctx, l.compute, s.ID).ExtractErr() }, "SHUTOFF"},
		{func() error { return servers.Start(ctx, l.compute, s.ID).ExtractErr() }, "ACTIVE"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		l.reaches(t, s.ID, step.want)
	}
	wantRefusal(t, "start what runs", servers.Start(ctx, l.compute, s.ID).ExtractErr(), 409, "conflictingRequest")
	wantRefusal(t, "delete a network in use", networks.Delete(ctx, l.network, l.lan).ExtractErr(), 409, "NetworkInUse")
	wantRefusal(t, "delete a subnet in use", subnets.Delete(ctx, l.network, l.subnet).ExtractErr(), 409, "SubnetInUse")
	if err := servers.Delete(ctx, l.compute, s.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, s.ID, "gone")
	if left := must[*ports.Port](t)(ports.Get(ctx, l.network, p.ID).Extract()); left.DeviceID != "" {
		t.Errorf("the port of a server that is gone belongs to %s", left.DeviceID)
	}
	wantRefusal(t, "delete twice", servers.Delete(ctx, l.compute, s.ID).ExtractErr(), 404, "itemNotFound")
}

// TestOnePortTwoServers is what Nova does to two servers that are asked for on
// one port at the same time: it says yes to both, and one fails later.
func TestOnePortTwoServers(t *testing.T) {
	l := newLab(t, func(o *openstack.Options) { o.BindDelay = 200 * time.Millisecond })
	p := l.port(t, "10.0.1.20")
	first, second := l.start(t, order(p.ID)), l.start(t, order(p.ID))
	var states []string
	simtest.Until(t, "both are decided", func() bool {
		states = []string{l.state(t, first.ID), l.state(t, second.ID)}
		return states[0] != "BUILD" && states[1] != "BUILD"
	})
	if text := strings.Join(states, " "); text != "ACTIVE ERROR" && text != "ERROR ACTIVE" {
		t.Errorf("the servers are %s, want one ACTIVE and one ERROR", text)
	}
	third := l.port(t, "10.0.1.21")
	late := l.start(t, order(third.ID))
	if err := ports.Delete(t.Context(), l.network, third.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, late.ID, "ERROR")
}

func TestNovaPort(t *testing.T) {
	l := newLab(t)
	o := order("")
	o.Networks = []servers.Network{{UUID: l.lan, FixedIP: "10.0.1.77"}}
	s := l.start(t, o)
	l.reaches(t, s.ID, "ACTIVE")
	list := func() []ports.Port {
		pages, err := ports.List(l.network, ports.ListOpts{DeviceID: s.ID}).AllPages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return must[[]ports.Port](t)(ports.ExtractPorts(pages))
	}
	if got := list(); len(got) != 1 || got[0].FixedIPs[0].IPAddress != "10.0.1.77" {
		t.Errorf("ports of the server: %+v", got)
	}
	if err := servers.Delete(t.Context(), l.compute, s.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, s.ID, "gone")
	if got := list(); len(got) != 0 {
		t.Errorf("Nova's port stays: %+v", got)
	}
}

func TestGroupRules(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	g := must[*groups.SecGroup](t)(groups.Create(ctx, l.network, groups.CreateOpts{Name: "shop", Description: "cbnet-x"}).Extract())
	if len(g.Rules) != 2 {
		t.Errorf("a new group has %d rules, want 2 (all egress)", len(g.Rules))
	}
	in := rules.CreateOpts{SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolUDP, PortRangeMin: 51820, PortRangeMax: 51820}
	must[*rules.SecGroupRule](t)(rules.Create(ctx, l.network, in).Extract())
	_, err := rules.Create(ctx, l.network, in).Extract()
	wantRefusal(t, "the same rule again", err, 409, "SecurityGroupRuleExists")
	in.PortRangeMin = 51821
	_, err = rules.Create(ctx, l.network, in).Extract()
	wantRefusal(t, "a range upside down", err, 400, "SecurityGroupInvalidPortRange")
	p := must[*ports.Port](t)(ports.Create(ctx, l.network, ports.CreateOpts{NetworkID: l.lan, SecurityGroups: &[]string{g.ID}}).Extract())
	wantRefusal(t, "a group in use", groups.Delete(ctx, l.network, g.ID).ExtractErr(), 409, "SecurityGroupInUse")
	if err := ports.Delete(ctx, l.network, p.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	if err := groups.Delete(ctx, l.network, g.ID).ExtractErr(); err != nil {
		t.Fatal(err)
	}
}

func TestBadInput(t *testing.T) {
	l := newLab(t)
	p := l.port(t, "10.0.1.20")
	for _, tt := range []struct {
		name   string
		change func(*servers.CreateOpts)
		text   string
	}{
		{"image", func(o *servers.CreateOpts) { o.ImageRef = "nobody" }, "imageRef"},
		{"flavor", func(o *servers.CreateOpts) { o.FlavorRef = "99" }, "Flavor"},
		{"port", func(o *servers.CreateOpts) { o.Networks = []servers.Network{{Port: "nobody"}} }, "could not be found"},
		{"user data", func(o *servers.CreateOpts) { o.UserData = make([]byte, 70000) }, "user_data"},
		{"name", func(o *servers.CreateOpts) { o.Name = strings.Repeat("x", 256) }, "name"},
		{"zone", func(o *servers.CreateOpts) { o.AvailabilityZone = "mars" }, "availability zone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := order(p.ID)
			tt.change(&o)
			_, err := servers.Create(t.Context(), l.compute, o, nil).Extract()
			wantRefusal(t, "create", err, 400, tt.text)
		})
	}
	var answer any
	_, err := l.network.Get(t.Context(), l.network.ServiceURL("networks")+"?colour=red", &answer, nil)
	wantRefusal(t, "an unknown filter", err, 400, "invalid attribute")
	_, err = l.network.Post(t.Context(), l.network.ServiceURL("networks"), map[string]any{"network": map[string]any{"colour": "red"}}, &answer, nil)
	wantRefusal(t, "an unknown attribute", err, 400, "colour")
}

func TestFaults(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	p := l.port(t, "10.0.1.20")
	l.faults.Set(faults.Config{Throttle: 1})
	_, err := servers.Create(ctx, l.compute, order(p.ID), nil).Extract()
	var e gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &e) || e.Actual != 429 || e.ResponseHeader.Get("Retry-After") == "" || !strings.Contains(string(e.Body), "overLimit") {
		t.Errorf("throttled: %v", err)
	}
	l.faults.Set(faults.Config{Quota: map[string]int{"openstack/vm": 0, "openstack/network": 0}})
	_, err = servers.Create(ctx, l.compute, order(p.ID), nil).Extract()
	wantRefusal(t, "Nova's quota", err, 403, "Quota exceeded for instances")
	_, err = networks.Create(ctx, l.network, networks.CreateOpts{Name: "b"}).Extract()
	wantRefusal(t, "Neutron's quota", err, 409, "OverQuota")

	l.faults.Set(faults.Config{NoCapacity: []string{"openstack/nova"}})
	s := l.start(t, order(p.ID))
	l.reaches(t, s.ID, "ERROR")
	if got := must[*servers.Server](t)(servers.Get(ctx, l.compute, s.ID).Extract()).Fault.Message; !strings.Contains(got, "No valid host") {
		t.Errorf("fault %q", got)
	}
	l.faults.Set(faults.Config{DropNext: map[string]int{"POST /servers": 1}})
	if _, err := servers.Create(ctx, l.compute, order(p.ID), nil).Extract(); err == nil {
		t.Error("a dropped answer arrived")
	}
	pages, err := servers.List(l.compute, nil).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all := must[[]servers.Server](t)(servers.ExtractServers(pages)); len(all) != 2 {
		t.Errorf("%d servers, want the failed one and the one whose answer was lost", len(all))
	}
}

// TestClose checks that a cloud does not wait for the servers it has not built.
func TestClose(t *testing.T) {
	l := newLab(t, func(o *openstack.Options) { o.BindDelay = time.Hour })
	s := l.start(t, order(l.port(t, "10.0.1.20").ID))
	closed := make(chan struct{})
	go func() {
		l.cloud.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("still closing after 10 s")
	}
	if got := l.state(t, s.ID); got != "BUILD" {
		t.Errorf("the server is %s, want BUILD for ever", got)
	}
}
