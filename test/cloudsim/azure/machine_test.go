package azure_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	driver "github.com/cbnet-io/cbnet/cloud/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// userData of the machines. Both serve on an open port and on a closed one, and
// say what they see; %s is the address of the other one.
const userData = `#!/bin/sh
python3 -m http.server 443 >/dev/null 2>&1 &
python3 -m http.server 8080 >/dev/null 2>&1 &
out=no; ping -c1 -W2 198.18.0.1 >/dev/null && out=yes
id=$(curl -s -m5 -H Metadata:true 'http://169.254.169.254/metadata/instance/compute/name?api-version=2021-02-01&format=text')
echo "host $(hostname) in $(cat /run/cloud-init/cloud-id) name $id out $out" > /dev/console
n=0; until curl -s -m1 -o /dev/null http://%[1]s:443/ || [ $n = 60 ]; do n=$((n+1)); sleep 1; done
open=no; curl -s -m2 -o /dev/null http://%[1]s:443/ && open=yes
closed=no; curl -s -m2 -o /dev/null http://%[1]s:8080/ && closed=yes
echo "the other: open $open closed $closed" > /dev/console
`

// TestBoot boots two machines with the driver, one of them without a public
// address: the real cloud-init runs their user-data, only the first one reaches
// the outside, and both are reached on the open port and on no other, from the
// outside and from each other.
func TestBoot(t *testing.T) {
	f := simtest.Machines(t)
	s := openOn(t, f, func(o *azure.Options) { o.Latency = 100 * time.Millisecond })
	d, err := driver.New(t.Context(), driver.Config{Endpoint: s.url, Credentials: s.cloud.Credentials(), Poll: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	owner := cloud.Owner{Mesh: "m", MCIS: "i"}
	n, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
		Owner: owner, Region: location, Name: "net", CIDR: netip.MustParsePrefix("10.0.1.0/24"), Open: []cloud.Port{{Protocol: "tcp", Number: 443}},
	})
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{"10.0.1.10", "10.0.1.11"}
	var ids []string
	for i, ip := range addresses {
		vm, err := d.CreateVM(t.Context(), cloud.VMSpec{
			Owner: owner, Region: location, Name: fmt.Sprintf("web-%d", i), Node: fmt.Sprintf("web-%d", i), Token: fmt.Sprintf("token-%d", i), Network: n,
			PrivateIP: netip.MustParseAddr(ip), Spec: "Standard_B2s", Image: "Debian:debian-12:12-gen2:latest",
			UserData: fmt.Appendf(nil, userData, addresses[1-i]), PublicIP: i == 0,
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, vm.ID)
	}
	for i, id := range ids {
		name := id[strings.LastIndexByte(id, '/')+1:]
		out := map[int]string{0: "yes", 1: "no"}[i]
		for _, want := range []string{
			fmt.Sprintf("host web-%d in azure name %s out %s", i, name, out), "the other: open yes closed no",
		} {
			simtest.Within(t, 3*time.Minute, func() (bool, string) {
				text, err := d.ConsoleOutput(t.Context(), location, id)
				if err != nil {
					t.Fatal(err)
				}
				return strings.Contains(text, want), fmt.Sprintf("no %q in %s", want, text)
			})
		}
	}
	public := ""
	list, err := d.List(t.Context(), location, owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.VM != nil && r.VM.PublicIP.IsValid() {
			public = r.VM.PublicIP.String()
		}
	}
	if !reaches(t, public+":443") {
		t.Errorf("%s is not reached on the open port", public)
	}
	if reaches(t, public+":8080") || reaches(t, public+":22") {
		t.Errorf("%s is reached on a port without a rule", public)
	}
	start := time.Now()
	simtest.Within(t, time.Minute, func() (bool, string) {
		list, err := d.List(t.Context(), location, owner)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range cloud.DeleteOrder(list) {
			_ = d.Delete(t.Context(), r) // again at the next tick while it is in use
		}
		return len(list) == 0 && len(s.cloud.Inventory()) == 0, fmt.Sprintf("left %+v", s.cloud.Inventory())
	})
	t.Logf("deleted in %s", time.Since(start).Round(time.Millisecond))
}

// reaches tells whether something accepts connections at an address.
func reaches(t *testing.T, address string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
