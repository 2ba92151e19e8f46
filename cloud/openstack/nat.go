package openstack

import (
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"

	"github.com/cbnet-io/cbnet/cloud"
)

// NAT implements cloud.NAT. The router that a network has anyway does it, for
// every machine without a floating IP, unless the cloud's administrator has
// switched it off: tenants cannot switch it by Neutron's own policy.
func (d *Driver) NAT() string { return "Neutron router (SNAT)" }

// checkSNAT refuses a network whose router does no SNAT, if it is to have a way
// out. Clouds without the extension ext-gw-mode tell nothing and do it always.
func (n *network) checkSNAT(r routers.Router) error {
	if on := r.GatewayInfo.EnableSNAT; n.spec.NAT && on != nil && !*on {
		return fmt.Errorf("%w: %s router %s does no SNAT (enable_snat is false by the administrator's will), so there is no way out", cloud.ErrInvalid, Provider, r.ID)
	}
	return nil
}
