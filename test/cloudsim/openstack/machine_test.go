package openstack_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// TestBoot boots two servers, one of them without a public address: the real
// cloud-init runs their user data, both reach the outside through the router,
// and the floating IP leads to the other as far as its security group lets it.
func TestBoot(t *testing.T) {
	f := simtest.Machines(t)
	l := newLabOn(t, f)
	ctx := t.Context()
	g := must[*groups.SecGroup](t)(groups.Create(ctx, l.network, groups.CreateOpts{Name: "g"}).Extract())
	boot := func(ip string) (server, port string) {
		t.Helper()
		p := must[*ports.Port](t)(ports.Create(ctx, l.network, ports.CreateOpts{
			NetworkID: l.lan, FixedIPs: []ports.IP{{IPAddress: ip}}, SecurityGroups: &[]string{g.ID},
		}).Extract())
		o := order(p.ID)
		o.UserData = []byte("#!/bin/sh\nping -c1 -W2 198.18.0.1 && out=reaches\necho \"$(hostname) in $(cat /run/cloud-init/cloud-id) $out out\" > /dev/console\n")
		return l.start(t, o).ID, p.ID
	}
	public, port := boot("10.0.1.10")
	private, _ := boot("10.0.1.11")
	address := must[*floatingips.FloatingIP](t)(floatingips.Create(ctx, l.network, floatingips.CreateOpts{FloatingNetworkID: l.public, PortID: port}).Extract()).FloatingIP
	for _, id := range []string{public, private} {
		simtest.Within(t, 90*time.Second, func() (bool, string) {
			text, err := servers.ShowConsoleOutput(ctx, l.compute, id, servers.ShowConsoleOutputOpts{Length: 200}).Extract()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(text, "web-0 in openstack reaches out"), text
		})
	}
	pings := func() bool { return exec.CommandContext(ctx, "ping", "-c1", "-W1", address).Run() == nil }
	if pings() {
		t.Errorf("%s answers without a rule", address)
	}
	must[*rules.SecGroupRule](t)(rules.Create(ctx, l.network, rules.CreateOpts{
		SecGroupID: g.ID, Direction: rules.DirIngress, EtherType: rules.EtherType4, Protocol: rules.ProtocolICMP,
	}).Extract())
	if !pings() {
		t.Errorf("%s does not answer although a rule lets it", address)
	}
	for _, id := range []string{public, private} {
		if err := servers.Delete(ctx, l.compute, id).ExtractErr(); err != nil {
			t.Fatal(err)
		}
		l.reaches(t, id, "gone")
	}
}
