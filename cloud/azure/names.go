package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"

	"github.com/cbnet-io/cbnet/cloud"
)

// maxName is the most characters of a Linux machine's name, the shortest limit
// of all that is named here (a resource group's is 90, those of the network 80).
const maxName = 64

// The types of what the driver makes, as ids have them, and where they are made.
const (
	typeGroup     = "Microsoft.Resources/resourceGroups"
	typeNetwork   = "Microsoft.Network/virtualNetworks"
	typeSubnet    = "Microsoft.Network/virtualNetworks/subnets"
	typeSecurity  = "Microsoft.Network/networkSecurityGroups"
	typeInterface = "Microsoft.Network/networkInterfaces"
	typeAddress   = "Microsoft.Network/publicIPAddresses"
	typeMachine   = "Microsoft.Compute/virtualMachines"
	typeDisk      = "Microsoft.Compute/disks"
)

// groupName names the resource group of a network: one for each owner, name
// and region. At most 40 + 32 + 14 characters.
func groupName(s cloud.NetworkSpec, region string) string {
	return fmt.Sprintf("%s-%.32s-%s", s.Name, region, digest(s.Owner.Mesh, s.Owner.MCIS, s.Name, region))
}

// machineName names the machine of a token, its interface and its address.
func machineName(s cloud.VMSpec) string {
	sum := digest(s.Owner.Mesh, s.Owner.MCIS, s.Token)
	return s.Name[:min(len(s.Name), maxName-len(sum)-1)] + "-" + sum
}

// digest returns 12 characters that no other list of texts has.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// place is where a resource is: a group, and a name in it.
type place struct {
	group, name string
}

// id returns the id of a resource in the form the driver always uses; ARM
// itself writes some of its ids in other cases than it was given.
func (d *Driver) id(kind string, p place) string {
	if kind == typeGroup {
		return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s", d.subscription, p.group)
	}
	provider, types, _ := strings.Cut(kind, "/")
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/%s/%s/%s", d.subscription, p.group, provider, types, p.name)
}

// subnetID returns the id of the one subnet of a network, which has its name.
func (d *Driver) subnetID(network place) string {
	return d.id(typeNetwork, network) + "/subnets/" + network.name
}

// parseID reads an id that must be one of that type in this subscription. The
// error wraps cloud.ErrInvalid.
func (d *Driver) parseID(kind, id string) (place, error) {
	r, err := arm.ParseResourceID(id)
	if err != nil || !strings.EqualFold(r.ResourceType.String(), kind) || r.ResourceGroupName == "" {
		return place{}, fmt.Errorf("azure id %q: %w: want one of a %s", id, cloud.ErrInvalid, kind)
	}
	if !strings.EqualFold(r.SubscriptionID, d.subscription) {
		return place{}, fmt.Errorf("azure id %q: %w: not in subscription %s", id, cloud.ErrInvalid, d.subscription)
	}
	return place{strings.ToLower(r.ResourceGroupName), strings.ToLower(r.Name)}, nil
}

// canonical returns an id as ARM wrote it in the driver's form, and as it is
// when it is none of that type.
func (d *Driver) canonical(kind, id string) string {
	p, err := d.parseID(kind, id)
	if err != nil {
		return id
	}
	return d.id(kind, p)
}

// resourceType returns the type of an id, "" if it is none.
func resourceType(id string) string {
	r, err := arm.ParseResourceID(id)
	if err != nil {
		return ""
	}
	return r.ResourceType.String()
}
