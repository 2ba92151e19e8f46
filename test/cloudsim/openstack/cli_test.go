package openstack_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestCLI drives a whole life cycle with OpenStack's own command line.
func TestCLI(t *testing.T) {
	simtest.NeedTool(t, client)
	s := open(t)
	lines := []string{
		"network create lan -f json",
		"subnet create lan-v4 --network lan --subnet-range 10.0.1.0/24 -f json",
		"router create way --external-gateway public -f json",
		"router add subnet way lan-v4",
		"security group create shop --description shop -f json",
		"security group rule create shop --protocol udp --dst-port 51820 --remote-ip 0.0.0.0/0 -f json",
		"port create web-0 --network lan --fixed-ip ip-address=10.0.1.10 --security-group shop -f json",
		"port create web-1 --network lan --fixed-ip ip-address=10.0.1.10",
		"server create web-0 --image ubuntu-24.04 --flavor m1.small --port web-0 --property cbnet-node=web-0 --wait -f json",
		"server list -f json",
	}
	out := s.cli(t, lines...)
	for i, text := range out {
		if i != 7 && strings.Contains(text, "rror") || strings.Contains(text, "No ") {
			t.Fatalf("openstack %s: %s", lines[i], text)
		}
	}
	if !strings.Contains(out[7], "already allocated") {
		t.Errorf("a second port with the same address: %s", out[7])
	}
	var servers []struct {
		ID, Name, Status string
		Networks         map[string][]string
	}
	if err := json.Unmarshal([]byte(out[9]), &servers); err != nil {
		t.Fatalf("%v in %s", err, out[9])
	}
	if len(servers) != 1 || servers[0].Status != "ACTIVE" || len(servers[0].Networks["lan"]) != 1 || servers[0].Networks["lan"][0] != "10.0.1.10" {
		t.Errorf("servers: %+v", servers)
	}
	for i, text := range s.cli(t,
		"floating ip create public --port web-0 -f json",
		"server show web-0 -f json",
		"network delete lan",
		"server delete web-0 --wait",
		"port delete web-0",
		"router remove subnet way lan-v4",
		"router delete way",
		"security group delete shop",
		"network delete lan",
		"image list -f json",
		"flavor list -f json",
		"token issue -f json",
	) {
		switch {
		case i == 1 && !strings.Contains(text, "198.1"):
			t.Errorf("the server shows no public address: %s", text)
		case i == 2 && !strings.Contains(text, "in use"):
			t.Errorf("a network in use: %s", text)
		case i > 2 && i < 9 && strings.TrimSpace(text) != "":
			t.Errorf("line %d: %s", i, text)
		case i == 9 && !strings.Contains(text, "debian-12"), i == 10 && !strings.Contains(text, "m1.small"), i == 11 && !strings.Contains(text, "expires"):
			t.Errorf("line %d: %s", i, text)
		}
	}
	for _, o := range s.cloud.Inventory() {
		if o.Kind != "publicIp" {
			t.Errorf("left over: %+v", o)
		}
	}
}
