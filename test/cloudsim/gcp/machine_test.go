package gcp_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// TestBoot boots two instances: the real cloud-init runs their user data with
// Google's datasource. The one with a public address reaches the internet, and
// is reached as far as the firewall lets it. The other one gets out when there is
// a Cloud NAT, and not before.
func TestBoot(t *testing.T) {
	f := simtest.Machines(t)
	s := openOn(t, f)
	c := s.client(t)
	c.land(t, "shop")
	const zone = "zones/us-central1-a/instances"
	boot := func(name, ip string, public bool) {
		t.Helper()
		c.done(t, http.MethodPost, zone, order(name, ip, public, "#!/bin/sh\n"+
			"echo \"$(hostname) in $(cat /run/cloud-init/cloud-id) has $(hostname -I)\" > /dev/console\n"+
			"until ping -c1 -W1 198.18.0.1 >/dev/null; do :; done; echo $(hostname) reaches out > /dev/console\n"))
	}
	boot("public", "10.0.1.10", true)
	boot("private", "10.0.1.11", false)
	console := func(name string) string {
		return simtest.Text(c.get(t, zone+"/"+name+"/serialPort"), "contents")
	}
	for _, want := range []string{"public in gce has 10.0.1.10", "public reaches out"} {
		simtest.Within(t, 90*time.Second, func() (bool, string) { out := console("public"); return strings.Contains(out, want), out })
	}
	simtest.Within(t, 90*time.Second, func() (bool, string) {
		out := console("private")
		return strings.Contains(out, "private in gce has 10.0.1.11"), out
	})
	address := simtest.Text(c.get(t, zone+"/public"), "networkInterfaces", 0, "accessConfigs", 0, "natIP")
	pings := func() bool { return exec.CommandContext(t.Context(), "ping", "-c1", "-W1", address).Run() == nil }
	if pings() {
		t.Errorf("%s answers without a rule", address)
	}
	c.done(t, http.MethodPost, "global/firewalls", `{"name": "icmp", "network": "global/networks/shop", "allowed": [{"IPProtocol": "icmp"}]}`)
	if !pings() {
		t.Errorf("%s does not answer although a rule lets it", address)
	}
	if strings.Contains(console("private"), "reaches out") {
		t.Error("private gets out without a NAT")
	}
	c.done(t, http.MethodPost, "regions/us-central1/routers", `{"name": "r", "network": "global/networks/shop",
		"nats": [{"name": "nat", "natIpAllocateOption": "AUTO_ONLY", "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES"}]}`)
	simtest.Within(t, 30*time.Second, func() (bool, string) {
		out := console("private")
		return strings.Contains(out, "private reaches out"), out
	})
	for _, name := range []string{"public", "private"} {
		c.done(t, http.MethodDelete, zone+"/"+name, "")
	}
}

// order is the body of an insertion.
func order(name, ip string, public bool, userData string) string {
	access := ""
	if public {
		access = `, "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]`
	}
	return fmt.Sprintf(`{"name": %q, "machineType": "zones/us-central1-a/machineTypes/e2-small",
		"disks": [{"boot": true, "autoDelete": true, "initializeParams": {"sourceImage": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"}}],
		"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/shop", "networkIP": %q%s}],
		"metadata": {"items": [{"key": "user-data", "value": %q}]}}`, name, ip, access, userData)
}
