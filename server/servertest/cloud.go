package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis/mcistest"
	"github.com/cbnet-io/cbnet/server"
)

// Cloud returns the cloud of an account: one in memory for each name, which
// answers at once.
func (d *Disk) Cloud(name string) *mcistest.Cloud { return d.World.Add(name, mcistest.Faults{}) }

// driver makes drivers of accounts whose credentials are not "bad", and refuses
// providers that a release may not know.
func (d *Disk) driver(_ context.Context, a server.Account) (cloud.Driver, error) {
	if a.Provider != "aws" && a.Provider != "openstack" {
		return nil, fmt.Errorf("provider %s: this release does not have it", a.Provider)
	}
	if bytes.Contains(a.Credentials, []byte("bad")) {
		return nil, errors.New("credentials: want an access key")
	}
	return driver{d.Cloud(a.Name), a.Provider}, nil
}

// driver is a cloud in memory under the name of a real kind.
type driver struct {
	*mcistest.Cloud
	provider string
}

// Provider implements cloud.Driver.
func (d driver) Provider() string { return d.provider }

// Make makes a network with one machine that bear a mark of the mesh: four
// objects.
func (s *System) Make(t testing.TB, c *mcistest.Cloud, region, uid string) {
	t.Helper()
	prefix := netip.MustParsePrefix("10.7.0.0/24")
	owner := cloud.Owner{Mesh: s.PKI.UID(), MCIS: uid}
	net, err := c.EnsureNetwork(t.Context(), cloud.NetworkSpec{Owner: owner, Region: region, Name: "net-" + uid, CIDR: prefix})
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := cloud.VMAddr(prefix, 0)
	_, err = c.CreateVM(t.Context(), cloud.VMSpec{
		Owner: owner, Region: region, Name: "vm-" + uid, Node: uid + "-web-1", Token: "token-" + region + uid, Network: net, PrivateIP: ip,
		Spec: "tiny", Image: "img", PublicIP: true, Labels: map[string]string{"팀": "인프라"},
	})
	if err != nil {
		t.Fatal(err)
	}
}
