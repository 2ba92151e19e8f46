package openstack_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCLI drives a whole life cycle with OpenStack's own command line.
func TestCLI(t *testing.T) {
	if _, err := exec.LookPath("/usr/bin/openstack"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("openstack is not installed (Debian: python3-openstackclient)")
		}
		t.Skip("openstack is not installed (Debian: python3-openstackclient)")
	}
	s := open(t)
	must := func(line string) any {
		t.Helper()
		out, complaint := s.cli(t, strings.Fields(line)...)
		if complaint != "" {
			t.Fatalf("openstack %s: %s", line, complaint)
		}
		return out
	}
	field := func(v any, name string) string {
		m, _ := v.(map[string]any)
		text, _ := m[name].(string)
		return text
	}
	must("network create lan -f json")
	must("subnet create lan-v4 --network lan --subnet-range 10.0.1.0/24 -f json")
	must("router create way --external-gateway public -f json")
	must("router add subnet way lan-v4")
	must("security group create shop --description shop -f json")
	must("security group rule create shop --protocol udp --dst-port 51820 --remote-ip 0.0.0.0/0 -f json")
	port := field(must("port create web-0 --network lan --fixed-ip ip-address=10.0.1.10 --security-group shop -f json"), "id")
	if _, complaint := s.cli(t, strings.Fields("port create web-1 --network lan --fixed-ip ip-address=10.0.1.10")...); !strings.Contains(complaint, "already allocated") {
		t.Errorf("a second port with the same address: %q", complaint)
	}
	server := must("server create web-0 --image ubuntu-24.04 --flavor m1.small --port web-0 --property cbnet-node=web-0 --wait -f json")
	if got := field(server, "status"); got != "ACTIVE" {
		t.Errorf("server is %s, want ACTIVE", got)
	}
	address := field(must("floating ip create public --port "+port+" -f json"), "floating_ip_address")
	list, _ := must("server list -f json").([]any)
	if len(list) != 1 {
		t.Fatalf("%d servers listed, want 1", len(list))
	}
	row, _ := list[0].(map[string]any)
	nets, _ := row["Networks"].(map[string]any)
	ips, _ := nets["lan"].([]any)
	if len(ips) != 2 || ips[0] != "10.0.1.10" || ips[1] != address {
		t.Errorf("addresses %v, want 10.0.1.10 and %s", ips, address)
	}
	must("server stop web-0")
	until(t, "the server is off", func() bool { return field(must("server show web-0 -f json"), "status") == "SHUTOFF" })
	must("server delete web-0 --wait")
	must("floating ip delete " + address)
	must("port delete web-0")
	must("router remove subnet way lan-v4")
	must("router delete way")
	must("security group delete shop")
	must("network delete lan")
	if left := s.cloud.Inventory(); len(left) > 0 {
		t.Errorf("left over: %+v", left)
	}
}
