package azure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources/v3"

	"github.com/cbnet-io/cbnet/cloud"
)

// EnsureNetwork implements cloud.Driver: resource group, security group, virtual
// network with its subnet. Each step looks for what is there, then writes what
// is missing with the mark on it.
func (d *Driver) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	region := d.in(spec.Region)
	fail := func(what string, err error) (cloud.Network, error) {
		return cloud.Network{}, fmt.Errorf("azure network %s in %s: %s: %w", spec.Name, region, what, err)
	}
	if err := spec.Validate(); err != nil {
		return cloud.Network{}, err
	}
	if spec.NAT {
		return fail("way out", fmt.Errorf("%w: this driver makes none", cloud.ErrInvalid))
	}
	if err := cloud.CheckSSHKeyType(Provider, spec.SSHKey, keyTypes); err != nil {
		return fail("key", err)
	}
	n := network{d: d, spec: spec, region: region, at: place{groupName(spec, region), spec.Name}}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"resource group", n.ensureGroup},
		{"security group", n.ensureSecurity},
		{"virtual network", n.ensureNetwork},
	} {
		if err := step.do(ctx); err != nil {
			return fail(step.what, notYet(d.explain(ctx, region, err)))
		}
	}
	return cloud.Network{
		ID:            d.id(typeNetwork, n.at),
		SubnetID:      d.subnetID(n.at),
		SecurityGroup: d.id(typeSecurity, n.at),
		Key:           spec.SSHKey, // machines carry it themselves
	}, nil
}

// notYet turns the absence of something that this very call has seen or made
// into ErrUnavailable: all of ARM will know it in a moment.
func notYet(err error) error {
	if errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, err)
	}
	return err
}

// network is one EnsureNetwork under way. Security group and virtual network
// have the name of the network.
type network struct {
	d      *Driver
	spec   cloud.NetworkSpec
	region string
	at     place
}

func (n network) tags() map[string]*string { return tagsOf(n.spec.Owner.Tags()) }

// ours returns an error that wraps cloud.ErrConflict if what has the name that
// is wanted does not bear the owner's mark.
func ours(owner cloud.Owner, id string, tags map[string]*string) error {
	if cloud.OwnerOf(tagMap(tags)) == owner {
		return nil
	}
	return fmt.Errorf("%w: %s has the name and not the mark", cloud.ErrConflict, id)
}

func (n network) ensureGroup(ctx context.Context) error {
	have, err := n.d.api.groups.Get(ctx, n.at.group, nil)
	switch err = wrap("GET resourceGroups", err); {
	case err == nil && have.Properties != nil && val(have.Properties.ProvisioningState) == stateDeleting:
		return fmt.Errorf("%w: %s is still being deleted", cloud.ErrUnavailable, n.at.group)
	case err == nil:
		return ours(n.spec.Owner, n.at.group, have.Tags)
	case !errors.Is(err, cloud.ErrNotFound):
		return err
	}
	_, err = n.d.api.groups.CreateOrUpdate(ctx, n.at.group, armresources.ResourceGroup{Location: &n.region, Tags: n.tags()}, nil)
	return wrap("PUT resourceGroups", err)
}

func (n network) ensureSecurity(ctx context.Context) error {
	want := rules(n.spec.Open)
	var have armnetwork.SecurityGroupsClientGetResponse
	found, err := n.ready(ctx, "GET networkSecurityGroups", func() (map[string]*string, *armnetwork.ProvisioningState, error) {
		var err error
		have, err = n.d.api.securities.Get(ctx, n.at.group, n.at.name, nil)
		if have.Properties == nil {
			have.Properties = &armnetwork.SecurityGroupPropertiesFormat{}
		}
		return have.Tags, have.Properties.ProvisioningState, err
	})
	if err != nil || found == armnetwork.ProvisioningStateSucceeded && sameRules(have.Properties.SecurityRules, want) {
		return err
	}
	p, err := n.d.api.securities.BeginCreateOrUpdate(ctx, n.at.group, n.at.name, armnetwork.SecurityGroup{
		Location: &n.region, Tags: n.tags(),
		Properties: &armnetwork.SecurityGroupPropertiesFormat{SecurityRules: want},
	}, nil)
	return settle(ctx, n.d, "PUT networkSecurityGroups", p, err)
}

// ready looks for an object of the network until no operation on it is under
// way, checks its mark and returns its state, "" if there is none.
func (n network) ready(ctx context.Context, op string, get func() (map[string]*string, *armnetwork.ProvisioningState, error)) (armnetwork.ProvisioningState, error) {
	for {
		tags, state, err := get()
		if err = wrap(op, err); err != nil {
			return "", gone(err)
		}
		if err := ours(n.spec.Owner, n.at.name, tags); err != nil {
			return "", err
		}
		switch val(state) {
		case armnetwork.ProvisioningStateSucceeded, armnetwork.ProvisioningStateFailed, armnetwork.ProvisioningStateCanceled:
			return val(state), nil
		case armnetwork.ProvisioningStateDeleting:
			return "", fmt.Errorf("%w: %s is still being deleted", cloud.ErrUnavailable, n.at.name)
		}
		if err := n.d.pause(ctx); err != nil {
			return "", wrap(op, err)
		}
	}
}

// Priorities of rules: the lowest number is looked at first. Azure's own begin
// at 65000 and let everything of the virtual network in.
const (
	firstPriority = 100
	lastPriority  = 4096
)

// rules lets the ports in from everywhere and nothing else, not even from the
// same network. What leaves is let through by Azure's own rules.
func rules(open []cloud.Port) []*armnetwork.SecurityRule {
	rule := func(name string, priority int, access armnetwork.SecurityRuleAccess, protocol, port string) *armnetwork.SecurityRule {
		return &armnetwork.SecurityRule{Name: &name, Properties: &armnetwork.SecurityRulePropertiesFormat{
			Access: &access, Direction: to.Ptr(armnetwork.SecurityRuleDirectionInbound), Priority: to.Ptr(int32(priority)),
			Protocol:                 to.Ptr(armnetwork.SecurityRuleProtocol(protocol)),
			SourceAddressPrefix:      to.Ptr("*"),
			SourcePortRange:          to.Ptr("*"),
			DestinationAddressPrefix: to.Ptr("*"), DestinationPortRange: &port,
		}}
	}
	var out []*armnetwork.SecurityRule
	seen := map[cloud.Port]bool{}
	for _, p := range open {
		if seen[p] {
			continue
		}
		seen[p] = true
		protocol := strings.ToUpper(p.Protocol[:1]) + p.Protocol[1:] // Azure writes Tcp and Udp
		out = append(out, rule(fmt.Sprint(p.Protocol, "-", p.Number), firstPriority+len(out), armnetwork.SecurityRuleAccessAllow, protocol, fmt.Sprint(p.Number)))
	}
	return append(out, rule("deny-all", lastPriority, armnetwork.SecurityRuleAccessDeny, "*", "*"))
}

// sameRules reports whether two lists let the same pass, in the same order.
func sameRules(a, b []*armnetwork.SecurityRule) bool {
	text := func(list []*armnetwork.SecurityRule) []string {
		var out []string
		for _, r := range list {
			if r == nil || r.Properties == nil {
				continue
			}
			p := r.Properties
			out = append(out, fmt.Sprint(val(p.Priority), val(p.Access), val(p.Direction), strings.ToLower(string(val(p.Protocol))),
				val(p.SourceAddressPrefix), deref(p.SourceAddressPrefixes), val(p.SourcePortRange), deref(p.SourcePortRanges),
				val(p.DestinationAddressPrefix), deref(p.DestinationAddressPrefixes), val(p.DestinationPortRange), deref(p.DestinationPortRanges),
				len(p.SourceApplicationSecurityGroups), len(p.DestinationApplicationSecurityGroups)))
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(text(a), text(b))
}

func deref(list []*string) []string {
	var out []string
	for _, s := range list {
		out = append(out, val(s))
	}
	return out
}

// ensureNetwork never writes over a network that is there and well: a PUT
// replaces the list of subnets.
func (n network) ensureNetwork(ctx context.Context) error {
	var have armnetwork.VirtualNetworksClientGetResponse
	found, err := n.ready(ctx, "GET virtualNetworks", func() (map[string]*string, *armnetwork.ProvisioningState, error) {
		var err error
		have, err = n.d.api.networks.Get(ctx, n.at.group, n.at.name, nil)
		if have.Properties == nil {
			have.Properties = &armnetwork.VirtualNetworkPropertiesFormat{}
		}
		return have.Tags, have.Properties.ProvisioningState, err
	})
	if err != nil {
		return err
	}
	if found != "" {
		err := n.fits(have.Properties.Subnets)
		if err != nil || found == armnetwork.ProvisioningStateSucceeded {
			return err
		}
	}
	cidr := n.spec.CIDR.String()
	p, err := n.d.api.networks.BeginCreateOrUpdate(ctx, n.at.group, n.at.name, armnetwork.VirtualNetwork{
		Location: &n.region, Tags: n.tags(),
		Properties: &armnetwork.VirtualNetworkPropertiesFormat{
			AddressSpace: &armnetwork.AddressSpace{AddressPrefixes: []*string{&cidr}},
			Subnets: []*armnetwork.Subnet{{Name: &n.at.name, Properties: &armnetwork.SubnetPropertiesFormat{
				AddressPrefix: &cidr, DefaultOutboundAccess: to.Ptr(false),
			}}},
		},
	}, nil)
	return settle(ctx, n.d, "PUT virtualNetworks", p, err)
}

// fits returns an error that wraps cloud.ErrConflict unless a network's one
// subnet is the wanted one.
func (n network) fits(subnets []*armnetwork.Subnet) error {
	if len(subnets) != 1 || subnets[0] == nil || subnets[0].Properties == nil || val(subnets[0].Name) != n.at.name {
		return fmt.Errorf("%w: virtual network %s has other subnets than the one of its name", cloud.ErrConflict, n.at.name)
	}
	p := subnets[0].Properties
	got := val(p.AddressPrefix)
	if got == "" && len(p.AddressPrefixes) == 1 {
		got = val(p.AddressPrefixes[0])
	}
	if got != n.spec.CIDR.String() {
		return fmt.Errorf("%w: virtual network %s has range %s, want %s", cloud.ErrConflict, n.at.name, got, n.spec.CIDR)
	}
	return nil
}
