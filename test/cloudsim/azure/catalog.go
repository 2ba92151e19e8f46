package azure

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// size is a machine type.
type size struct {
	name, family string
	vcpu         int
	memory       string // GiB
	arch         string
}

// sizes are a few of the types, with their real names and sizes:
// https://learn.microsoft.com/azure/virtual-machines/sizes/overview
var sizes = []size{
	{"Standard_B1s", "standardBSFamily", 1, "1", "x64"},
	{"Standard_B1ms", "standardBSFamily", 1, "2", "x64"},
	{"Standard_B2s", "standardBSFamily", 2, "4", "x64"},
	{"Standard_B2ms", "standardBSFamily", 2, "8", "x64"},
	{"Standard_B4ms", "standardBSFamily", 4, "16", "x64"},
	{"Standard_D2s_v5", "standardDSv5Family", 2, "8", "x64"},
	{"Standard_D4s_v5", "standardDSv5Family", 4, "16", "x64"},
	{"Standard_D8s_v5", "standardDSv5Family", 8, "32", "x64"},
	{"Standard_D2ps_v5", "standardDPSv5Family", 2, "8", "Arm64"},
	{"Standard_E2s_v5", "standardESv5Family", 2, "16", "x64"},
	{"Standard_F2s_v2", "standardFSv2Family", 2, "4", "x64"},
	{"Standard_F4s_v2", "standardFSv2Family", 4, "8", "x64"},
}

func sizeOf(name string) (size, bool) {
	i := slices.IndexFunc(sizes, func(s size) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return size{}, false
	}
	return sizes[i], true
}

func sizeNames() []string {
	var names []string
	for _, s := range sizes {
		names = append(names, s.name)
	}
	return names
}

var locationFilter = regexp.MustCompile(`(?i)^\s*location eq '([^']*)'\s*$`)

func (c *call) listSKUs(o *armcompute.ResourceSKUsClientListOptions) (resp fake.PagerResponder[armcompute.ResourceSKUsClientListResponse]) {
	var at []region
	switch {
	case o == nil || or(o.Filter, "") == "":
		at = c.regions
	default:
		m := locationFilter.FindStringSubmatch(*o.Filter)
		if m == nil {
			resp.AddError(fault(400, "InvalidFilter", "The filter '%s' is not supported.", *o.Filter))
			return resp
		}
		if r := c.regionOf(m[1]); r != nil {
			at = []region{*r} // a location that does not exist has no types
		}
	}
	list := []*armcompute.ResourceSKU{} // "value": []
	for _, r := range at {
		for _, s := range sizes {
			list = append(list, s.sku(r))
		}
		list = append(list, &armcompute.ResourceSKU{ResourceType: ptr("disks"), Name: ptr("StandardSSD_LRS"), Locations: []*string{&r.name}})
	}
	return pager(armcompute.ResourceSKUsClientListResponse{ResourceSKUsResult: armcompute.ResourceSKUsResult{Value: list}})
}

func (s size) sku(r region) *armcompute.ResourceSKU {
	capability := func(name, value string) *armcompute.ResourceSKUCapabilities {
		return &armcompute.ResourceSKUCapabilities{Name: &name, Value: &value}
	}
	k := &armcompute.ResourceSKU{
		ResourceType: ptr("virtualMachines"), Name: &s.name, Tier: ptr("Standard"), Size: ptr(strings.TrimPrefix(s.name, "Standard_")), Family: &s.family,
		Locations:    []*string{&r.name},
		LocationInfo: []*armcompute.ResourceSKULocationInfo{{Location: &r.name, Zones: ptrs(r.zoneNames())}},
		Capabilities: []*armcompute.ResourceSKUCapabilities{
			capability("vCPUs", fmt.Sprint(s.vcpu)), capability("MemoryGB", s.memory), capability("CpuArchitectureType", s.arch),
			capability("HyperVGenerations", "V1,V2"), capability("PremiumIO", "True"),
		},
	}
	if s.name == "Standard_E2s_v5" { // a family that the subscription may not use
		k.Restrictions = []*armcompute.ResourceSKURestrictions{{
			Type: ptr(armcompute.ResourceSKURestrictionsTypeLocation), Values: []*string{&r.name},
			ReasonCode: ptr(armcompute.ResourceSKURestrictionsReasonCodeNotAvailableForSubscription),
		}}
	}
	return k
}

// image is an image of the marketplace; its versions are oldest first.
type image struct {
	publisher, offer, sku string
	versions              []string
}

// marketplace has the images of Debian and Ubuntu, with their real names;
// the versions are made up.
var marketplace = []image{
	{"Debian", "debian-11", "11-gen2", []string{"0.20260601.2500"}},
	{"Debian", "debian-12", "12-gen2", []string{"0.20260112.1990", "0.20260811.2570"}},
	{"Debian", "debian-12", "12", []string{"0.20260811.2570"}},
	{"Debian", "debian-13", "13-gen2", []string{"0.20260811.2571"}},
	{"Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", []string{"22.04.202608010"}},
	{"Canonical", "ubuntu-24_04-lts", "server", []string{"24.04.202605120", "24.04.202608050"}},
}

// versionOf returns an image's exact version, and false if there is no such
// image.
func versionOf(publisher, offer, sku, version string) (string, bool) {
	for _, m := range marketplace {
		if !strings.EqualFold(m.publisher, publisher) || !strings.EqualFold(m.offer, offer) || !strings.EqualFold(m.sku, sku) {
			continue
		}
		if strings.EqualFold(version, "latest") {
			return m.versions[len(m.versions)-1], true
		}
		return version, slices.Contains(m.versions, version)
	}
	return "", false
}

// artifact lists what is at a place in the marketplace.
func (c *call) artifact(names []string, kind string) []*armcompute.VirtualMachineImageResource {
	var list []*armcompute.VirtualMachineImageResource
	for _, n := range slices.Compact(names) {
		list = append(list, &armcompute.VirtualMachineImageResource{
			ID: ptr("/Subscriptions/" + c.subscription + "/Providers/Microsoft.Compute/Locations/" + c.path.location + kind + n), Name: &n, Location: ptr(c.path.location),
		})
	}
	return list
}

// matching returns what the images of the request's publisher, offer and SKU
// are called one level below.
func (c *call) matching(depth int, name func(image) []string) []string {
	var names []string
	for _, m := range marketplace {
		if depth > 0 && !strings.EqualFold(m.publisher, c.path.publisher) || depth > 1 && !strings.EqualFold(m.offer, c.path.offer) || depth > 2 && !strings.EqualFold(m.sku, c.path.sku) {
			continue
		}
		names = append(names, name(m)...)
	}
	slices.Sort(names)
	return names
}

// noArtifact says that there is nothing of this name in the marketplace.
func (c *call) noArtifact() *apiError {
	return fault(404, "NotFound", "Artifact: VMImage was not found: %s %s %s.", c.path.publisher, c.path.offer, c.path.sku)
}

func (c *call) listPublishers(context.Context, string, *armcompute.VirtualMachineImagesClientListPublishersOptions) (fake.Responder[armcompute.VirtualMachineImagesClientListPublishersResponse], fake.ErrorResponder) {
	names := c.matching(0, func(m image) []string { return []string{m.publisher} })
	return done(200, armcompute.VirtualMachineImagesClientListPublishersResponse{VirtualMachineImageResourceArray: c.artifact(names, "/Publishers/")})
}

func (c *call) listOffers(context.Context, string, string, *armcompute.VirtualMachineImagesClientListOffersOptions) (fake.Responder[armcompute.VirtualMachineImagesClientListOffersResponse], fake.ErrorResponder) {
	names := c.matching(1, func(m image) []string { return []string{m.offer} })
	if len(names) == 0 {
		return denied[armcompute.VirtualMachineImagesClientListOffersResponse](c.noArtifact())
	}
	return done(200, armcompute.VirtualMachineImagesClientListOffersResponse{VirtualMachineImageResourceArray: c.artifact(names, "/Offers/")})
}

func (c *call) listImageSKUs(context.Context, string, string, string, *armcompute.VirtualMachineImagesClientListSKUsOptions) (fake.Responder[armcompute.VirtualMachineImagesClientListSKUsResponse], fake.ErrorResponder) {
	names := c.matching(2, func(m image) []string { return []string{m.sku} })
	if len(names) == 0 {
		return denied[armcompute.VirtualMachineImagesClientListSKUsResponse](c.noArtifact())
	}
	return done(200, armcompute.VirtualMachineImagesClientListSKUsResponse{VirtualMachineImageResourceArray: c.artifact(names, "/Skus/")})
}

func (c *call) listImages(_ context.Context, _, _, _, _ string, o *armcompute.VirtualMachineImagesClientListOptions) (fake.Responder[armcompute.VirtualMachineImagesClientListResponse], fake.ErrorResponder) {
	names := c.matching(3, func(m image) []string { return m.versions })
	if len(names) == 0 {
		return denied[armcompute.VirtualMachineImagesClientListResponse](c.noArtifact())
	}
	if o != nil && strings.EqualFold(or(o.Orderby, ""), "name desc") {
		slices.Reverse(names)
	}
	if o != nil && o.Top != nil && int(*o.Top) >= 0 {
		names = names[:min(len(names), int(*o.Top))]
	}
	return done(200, armcompute.VirtualMachineImagesClientListResponse{VirtualMachineImageResourceArray: c.artifact(names, "/Versions/")})
}

func (c *call) getImage(context.Context, string, string, string, string, string, *armcompute.VirtualMachineImagesClientGetOptions) (fake.Responder[armcompute.VirtualMachineImagesClientGetResponse], fake.ErrorResponder) {
	exact, ok := versionOf(c.path.publisher, c.path.offer, c.path.sku, c.path.version)
	if !ok {
		return denied[armcompute.VirtualMachineImagesClientGetResponse](c.noArtifact())
	}
	return done(200, armcompute.VirtualMachineImagesClientGetResponse{VirtualMachineImage: armcompute.VirtualMachineImage{
		ID: ptr(c.req.URL.Path), Name: &exact, Location: ptr(c.path.location),
		Properties: &armcompute.VirtualMachineImageProperties{
			HyperVGeneration: ptr(armcompute.HyperVGenerationTypesV2), OSDiskImage: &armcompute.OSDiskImage{OperatingSystem: ptr(armcompute.OperatingSystemTypesLinux)},
		},
	}})
}

// quotaOf is the limit of a kind in a region, def where no fault sets it.
func (c *call) quotaOf(region, kind string, def int) int {
	if limit, ok := c.opts.Faults.Quota(Name, region, kind); ok {
		return limit
	}
	return def
}

func (c *call) listComputeUsages(location string, _ *armcompute.UsageClientListOptions) fake.PagerResponder[armcompute.UsageClientListResponse] {
	r := c.regionOf(location)
	cores, count := map[string]int{}, 0
	for _, m := range c.machines.Where(func(m *machine) bool { return m.location == r.name }) {
		s, _ := sizeOf(string(*m.sent.HardwareProfile.VMSize))
		cores[s.family] += s.vcpu
		cores["cores"] += s.vcpu
		count++
	}
	var list []*armcompute.Usage
	add := func(name, text string, used, limit int) {
		list = append(list, &armcompute.Usage{Unit: ptr("Count"), CurrentValue: ptr(int32(used)), Limit: ptr(int64(limit)), Name: &armcompute.UsageName{Value: &name, LocalizedValue: &text}})
	}
	add("cores", "Total Regional vCPUs", cores["cores"], 10000)
	add("virtualMachines", "Virtual Machines", count, c.quotaOf(r.name, "vm", 25000))
	var seen []string
	for _, s := range sizes {
		if !slices.Contains(seen, s.family) {
			seen = append(seen, s.family)
			add(s.family, s.family+" vCPUs", cores[s.family], 10000)
		}
	}
	return pager(armcompute.UsageClientListResponse{ListUsagesResult: armcompute.ListUsagesResult{Value: list}})
}

func (c *call) listNetworkUsages(location string, _ *armnetwork.UsagesClientListOptions) fake.PagerResponder[armnetwork.UsagesClientListResponse] {
	r := c.regionOf(location)
	in := func(r2 resource) bool { return r2.location == r.name }
	var list []*armnetwork.Usage
	add := func(name, text string, used, limit int) {
		list = append(list, &armnetwork.Usage{
			ID: ptr("/subscriptions/" + c.subscription + "/providers/Microsoft.Network/locations/" + r.name + "/usages/" + name), Unit: ptr(armnetwork.UsageUnitCount),
			CurrentValue: ptr(int64(used)), Limit: ptr(int64(limit)), Name: &armnetwork.UsageName{Value: &name, LocalizedValue: &text},
		})
	}
	addresses := len(c.addresses.Where(func(v *address) bool { return in(v.resource) }))
	add("VirtualNetworks", "Virtual Networks", len(c.networks.Where(func(v *network) bool { return in(v.resource) })), c.quotaOf(r.name, "network", 1000))
	add("NetworkSecurityGroups", "Network Security Groups", len(c.securities.Where(func(v *security) bool { return in(v.resource) })), c.quotaOf(r.name, "securityGroup", 5000))
	add("NetworkInterfaces", "Network Interfaces", len(c.nics.Where(func(v *nic) bool { return in(v.resource) })), 65536)
	add("PublicIPAddresses", "Public IP Addresses", addresses, c.quotaOf(r.name, "publicIp", 1000))
	add("StaticPublicIPAddresses", "Static Public IP Addresses", addresses, c.quotaOf(r.name, "publicIp", 1000))
	return pager(armnetwork.UsagesClientListResponse{UsagesListResult: armnetwork.UsagesListResult{Value: list}})
}
