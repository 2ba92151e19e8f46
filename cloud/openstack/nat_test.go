package openstack

import (
	"errors"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"

	"github.com/cbnet-io/cbnet/cloud"
)

// TestRouterWithoutSNAT: a way out that the cloud's administrator has switched
// off is refused, and is nobody's business where none was asked for.
func TestRouterWithoutSNAT(t *testing.T) {
	on, off := true, false
	for _, tc := range []struct {
		nat  bool
		snat *bool
		ok   bool
	}{
		{true, &on, true}, {true, nil, true}, {true, &off, false}, {false, &off, true},
	} {
		n := network{spec: cloud.NetworkSpec{NAT: tc.nat}}
		err := n.checkSNAT(routers.Router{ID: "r", GatewayInfo: routers.GatewayInfo{EnableSNAT: tc.snat}})
		if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, cloud.ErrInvalid) {
			t.Errorf("%+v: got %v", tc, err)
		}
	}
}
