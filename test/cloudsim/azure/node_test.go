package azure_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cbnet-io/cbnet/cloud"
	driver "github.com/cbnet-io/cbnet/cloud/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/azure"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// listed is a resource as the SDK for Node shows it.
type listed struct {
	Kind, ID, Name, Region string
	Tags                   map[string]string
}

// line is what both sides must agree on. Ids are the same in every case.
func (l listed) line() string {
	return fmt.Sprint(l.Kind, " ", strings.ToLower(l.ID), " ", l.Name, " ", l.Region, " ", l.Tags)
}

func lines(list []listed) []string {
	var out []string
	for _, l := range list {
		out = append(out, l.line())
	}
	slices.Sort(out)
	return out
}

// TestNode has Microsoft's own SDK for Node list what the driver made, compare it
// with the inventory, and make and delete something with its own pollers.
func TestNode(t *testing.T) {
	modules := simtest.NeedNode(t, "../../..", "azure", "@azure/arm-compute")
	s := open(t, func(o *azure.Options) { o.PageSize = 2 })
	d, err := driver.New(t.Context(), driver.Config{Endpoint: s.url, Credentials: s.cloud.Credentials(), Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	owner := cloud.Owner{Mesh: "m", MCIS: "i"}
	n, err := d.EnsureNetwork(t.Context(), cloud.NetworkSpec{
		Owner: owner, Region: location, Name: "net", CIDR: netip.MustParsePrefix("10.0.1.0/24"), Open: []cloud.Port{{Protocol: "udp", Number: 51820}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		ip, _ := cloud.VMAddr(netip.MustParsePrefix("10.0.1.0/24"), i)
		_, err := d.CreateVM(t.Context(), cloud.VMSpec{
			Owner: owner, Region: location, Name: fmt.Sprint("web-", i), Node: fmt.Sprint("web-", i), Token: fmt.Sprint("token-", i), Network: n, PrivateIP: ip,
			Spec: "Standard_B2s", Image: "Debian:debian-12:12-gen2:latest", PublicIP: i < 2, Labels: map[string]string{"팀": "개발팀"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(file, s.cloud.Credentials(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "node/inventory.cjs", s.url, file, location)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, complaint.String())
	}
	var got struct {
		Before, Made, After []listed
		Refused             struct {
			Status int
			Code   string
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if diff := cmp.Diff(s.inventory(), lines(got.Before)); diff != "" {
		t.Errorf("the inventory and what the SDK lists (-inventory +SDK):\n%s", diff)
	}
	if len(got.Made) != len(got.Before)+2 || len(got.After) != len(got.Before) || !slices.Equal(lines(got.After), lines(got.Before)) {
		t.Errorf("%d before, %d with the SDK's own, %d after", len(got.Before), len(got.Made), len(got.After))
	}
	if got.Refused.Status != 400 || got.Refused.Code != "LocationNotAvailableForResourceType" {
		t.Errorf("a wrong region: got %+v", got.Refused)
	}
	t.Logf("%d resources: 3 machines, 3 interfaces, 2 addresses, a network and a security group", len(got.Before))
}

// inventory returns what the admin API says there is of what the SDK lists; the
// interfaces of machines, which are parts of them there, are taken from their
// tags and names.
func (s *site) inventory() []string {
	var all []listed
	for _, o := range s.cloud.Inventory() {
		switch o.Kind {
		case "vm":
			all = append(all, listed{o.Kind, o.ID, o.Name, o.Region, o.Tags})
			mark := map[string]string{cloud.KeyMesh: o.Tags[cloud.KeyMesh], cloud.KeyMCIS: o.Tags[cloud.KeyMCIS]}
			id := strings.Replace(o.ID, "Microsoft.Compute/virtualMachines", "Microsoft.Network/networkInterfaces", 1)
			all = append(all, listed{"port", id, o.Name, o.Region, mark})
		case "publicIp", "securityGroup", "network":
			all = append(all, listed{o.Kind, o.ID, o.Name, o.Region, o.Tags})
		}
	}
	return lines(all)
}
