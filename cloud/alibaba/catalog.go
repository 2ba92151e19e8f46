package alibaba

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/cbnet-io/cbnet/cloud"
)

// Regions implements cloud.Driver. It leaves Region.Zones empty: ECS tells them
// region by region.
func (d *Driver) Regions(ctx context.Context) ([]cloud.Region, error) {
	resp := ecs.CreateDescribeRegionsResponse()
	if err := d.call(ctx, "", ecs.CreateDescribeRegionsRequest(), resp); err != nil {
		return nil, err
	}
	out := make([]cloud.Region, 0, len(resp.Regions.Region))
	for _, r := range resp.Regions.Region {
		out = append(out, cloud.Region{Name: r.RegionId})
	}
	slices.SortFunc(out, func(a, b cloud.Region) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// market returns the zone of a region that sells most machine types, the first
// by name among equals, and which it sells. It is where networks go.
func (d *Driver) market(ctx context.Context, region string) (zone string, types map[string]bool, err error) {
	req, resp := ecs.CreateDescribeAvailableResourceRequest(), ecs.CreateDescribeAvailableResourceResponse()
	req.DestinationResource, req.InstanceChargeType, req.IoOptimized = "InstanceType", "PostPaid", "optimized"
	req.NetworkCategory = "vpc"
	if err := d.call(ctx, region, req, resp); err != nil {
		return "", nil, err
	}
	zones := map[string]map[string]bool{}
	for _, z := range resp.AvailableZones.AvailableZone {
		sold := map[string]bool{}
		for _, r := range z.AvailableResources.AvailableResource {
			for _, t := range r.SupportedResources.SupportedResource {
				// WithStock and ClosedWithStock can be had, the others not now.
				if t.Status == available && strings.HasSuffix(t.StatusCategory, "WithStock") {
					sold[t.Value] = true
				}
			}
		}
		zones[z.ZoneId] = sold
	}
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		if len(zones[z]) > len(types) {
			zone, types = z, zones[z]
		}
	}
	if zone == "" {
		return "", nil, fmt.Errorf("region %s: %w: no zone sells machines now", region, cloud.ErrCapacity)
	}
	return zone, types, nil
}

// Specs implements cloud.Catalog: the types for x86-64 that the zone of a new
// network sells, the cheap and common families first.
func (d *Driver) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	fail := func(err error) ([]cloud.Spec, error) {
		return nil, fmt.Errorf("%s: machine types in %s: %w", Provider, region, err)
	}
	_, sold, err := d.market(ctx, region)
	if err != nil {
		return fail(err)
	}
	var out []cloud.Spec
	for next := ""; ; {
		req, resp := ecs.CreateDescribeInstanceTypesRequest(), ecs.CreateDescribeInstanceTypesResponse()
		req.CpuArchitecture, req.MaxResults, req.NextToken = "X86", pageSize(100), next
		if err := d.call(ctx, region, req, resp); err != nil {
			return fail(err)
		}
		for _, t := range resp.InstanceTypes.InstanceType {
			if sold[t.InstanceTypeId] && t.CpuArchitecture != "ARM" && t.GPUAmount == 0 {
				out = append(out, cloud.Spec{Name: t.InstanceTypeId, VCPU: t.CpuCoreCount, MemoryMiB: int(t.MemorySize * 1024)})
			}
		}
		if next = resp.NextToken; next == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b cloud.Spec) int {
		return cmp.Or(cmp.Compare(family(a.Name), family(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// family ranks the machine families; it decides between types of equal size.
func family(name string) int {
	for i, prefix := range []string{"ecs.e-", "ecs.t6-", "ecs.u1-", "ecs.g7", "ecs.c7", "ecs.r7", "ecs.g6", "ecs.c6", "ecs.r6", "ecs.g", "ecs.c", "ecs.r"} {
		if strings.HasPrefix(name, prefix) {
			return i
		}
	}
	return 99
}

// imageName is a plain system image: no GPU driver in it, no other variant.
var imageName = regexp.MustCompile(`^(?:(debian)_(\d{1,2})_\d{1,2}|(ubuntu)_(\d{2})_(\d{2}))_x64_\d+G_alibase_\d{8}\.vhd$`)

// imageAlias returns the alias of a system image by its name:
// "debian_12_8_x64_20G_alibase_20241226.vhd" is "debian-12".
func imageAlias(name string) string {
	switch m := imageName.FindStringSubmatch(name); {
	case m == nil:
		return ""
	case m[1] != "":
		return "debian-" + m[2]
	default:
		return "ubuntu-" + m[4] + "." + m[5]
	}
}

// Images implements cloud.Catalog.
func (d *Driver) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	var out []cloud.Image
	for page, seen := 1, 0; ; page++ {
		req, resp := ecs.CreateDescribeImagesRequest(), ecs.CreateDescribeImagesResponse()
		req.ImageOwnerAlias, req.OSType, req.Architecture, req.Status = "system", "linux", "x86_64", available
		req.IsSupportCloudinit = yes
		req.PageNumber, req.PageSize = pageSize(page), pageSize(100)
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, fmt.Errorf("%s: images in %s: %w", Provider, region, err)
		}
		for _, i := range resp.Images.Image {
			if alias := imageAlias(i.ImageName); alias != "" {
				created, _ := time.Parse(time.RFC3339, i.CreationTime) // zero if ECS tells none
				out = append(out, cloud.Image{ID: i.ImageId, Name: i.ImageName, Alias: alias, Created: created})
			}
		}
		if seen += len(resp.Images.Image); len(resp.Images.Image) == 0 || seen >= resp.TotalCount {
			return out, nil
		}
	}
}
