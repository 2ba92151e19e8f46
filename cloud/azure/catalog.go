package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// Specs implements cloud.Catalog: the machine types for x86-64 that the
// subscription may use in the region, cheap and common families first.
func (d *Driver) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	region = d.in(region)
	fail := func(err error) ([]cloud.Spec, error) {
		return nil, fmt.Errorf("azure machine types in %s: %w", region, err)
	}
	filter := fmt.Sprintf("location eq '%s'", strings.ReplaceAll(region, "'", "''"))
	list, err := all(ctx, "GET skus", d.api.skus.NewListPager(&armcompute.ResourceSKUsClientListOptions{Filter: &filter}),
		func(p armcompute.ResourceSKUsClientListResponse) []*armcompute.ResourceSKU { return p.Value })
	if err != nil {
		return fail(d.explain(ctx, region, err))
	}
	var out []cloud.Spec
	for _, s := range list {
		if spec, ok := readSKU(s); ok {
			out = append(out, spec)
		}
	}
	if len(out) == 0 { // a region that does not exist has an empty list
		if err := d.unknownRegion(ctx, region, nil); err != nil {
			return fail(err)
		}
	}
	slices.SortFunc(out, func(a, b cloud.Spec) int {
		return cmp.Or(cmp.Compare(family(a.Name), family(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// readSKU reads a machine type, and false if it is none that can be used.
func readSKU(s *armcompute.ResourceSKU) (cloud.Spec, bool) {
	if !strings.EqualFold(val(s.ResourceType), "virtualMachines") {
		return cloud.Spec{}, false
	}
	for _, r := range s.Restrictions {
		if r != nil && val(r.Type) == armcompute.ResourceSKURestrictionsTypeLocation {
			return cloud.Spec{}, false // not for this subscription, or not here
		}
	}
	spec := cloud.Spec{Name: val(s.Name)}
	for _, c := range s.Capabilities {
		if c == nil {
			continue
		}
		switch val(c.Name) {
		case "vCPUs":
			spec.VCPU, _ = strconv.Atoi(val(c.Value)) // 0 is refused below
		case "MemoryGB":
			gib, _ := strconv.ParseFloat(val(c.Value), 64)
			spec.MemoryMiB = int(math.Round(gib * 1024))
		case "CpuArchitectureType":
			if val(c.Value) != "x64" {
				return cloud.Spec{}, false
			}
		case "HyperVGenerations":
			if !strings.Contains(val(c.Value), "V2") { // that of the images
				return cloud.Spec{}, false
			}
		}
	}
	return spec, spec.VCPU > 0 && spec.MemoryMiB > 0
}

// family ranks the machine families; it decides between types of equal size.
func family(name string) int {
	name = strings.TrimPrefix(name, "Standard_")
	order := []string{"B", "D", "F", "E"}
	for i, f := range order {
		if strings.HasPrefix(name, f) && len(name) > 1 && (name[1] >= '0' && name[1] <= '9') {
			return i
		}
	}
	return len(order)
}

// offer is where the newest image of an alias is found.
type offer struct{ alias, publisher, offer, sku string }

// offers are of generation 2, for x86-64, from
// https://wiki.debian.org/Cloud/MicrosoftAzure and
// https://documentation.ubuntu.com/azure/azure-how-to/instances/find-ubuntu-images/.
var offers = []offer{
	{"debian-11", "Debian", "debian-11", "11-gen2"},
	{"debian-12", "Debian", "debian-12", "12-gen2"},
	{"debian-13", "Debian", "debian-13", "13-gen2"},
	{"ubuntu-22.04", "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"},
	{"ubuntu-24.04", "Canonical", "ubuntu-24_04-lts", "server"},
}

// Images implements cloud.Catalog: the newest image of each alias that the
// region has. An id is what az calls a URN: publisher:offer:sku:version.
func (d *Driver) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	region = d.in(region)
	found := make([]cloud.Image, len(offers))
	g, gctx := errgroup.WithContext(ctx)
	for i, o := range offers {
		g.Go(func() (err error) {
			found[i], err = d.newest(gctx, region, o)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("azure images in %s: %w", region, d.explain(ctx, region, err))
	}
	found = slices.DeleteFunc(found, func(m cloud.Image) bool { return m.ID == "" })
	if len(found) == 0 { // a region that does not exist has no publishers
		if err := d.unknownRegion(ctx, region, nil); err != nil {
			return nil, fmt.Errorf("azure images in %s: %w", region, err)
		}
	}
	return found, nil
}

// newest returns the newest image of an offer, the zero Image if the region has
// none.
func (d *Driver) newest(ctx context.Context, region string, o offer) (cloud.Image, error) {
	have, err := d.api.images.List(ctx, region, o.publisher, o.offer, o.sku, &armcompute.VirtualMachineImagesClientListOptions{
		Orderby: to.Ptr("name desc"), Top: to.Ptr(int32(1)),
	})
	if err = wrap("GET versions", err); err != nil || len(have.VirtualMachineImageResourceArray) == 0 {
		if errors.Is(err, cloud.ErrNotFound) || hasCode(err, "ImageNotFound", "PlatformImageNotFound", "ArtifactNotFound") {
			err = nil
		}
		return cloud.Image{}, err
	}
	m := have.VirtualMachineImageResourceArray[0]
	if m == nil || val(m.Name) == "" {
		return cloud.Image{}, nil
	}
	urn := strings.Join([]string{o.publisher, o.offer, o.sku, val(m.Name)}, ":")
	return cloud.Image{ID: urn, Name: urn, Alias: o.alias}, nil
}

// imageTypes are what an image that is named by a resource's id can be.
var imageTypes = []string{
	"Microsoft.Compute/images", "Microsoft.Compute/galleries/images", "Microsoft.Compute/galleries/images/versions",
}

// imageReference reads an image's id: a URN, or the id of a resource.
func imageReference(id string) (*armcompute.ImageReference, error) {
	if p := strings.Split(id, ":"); len(p) == 4 && !slices.Contains(p, "") {
		return &armcompute.ImageReference{Publisher: &p[0], Offer: &p[1], SKU: &p[2], Version: &p[3]}, nil
	}
	if t := resourceType(id); slices.ContainsFunc(imageTypes, func(s string) bool { return strings.EqualFold(s, t) }) {
		return &armcompute.ImageReference{ID: &id}, nil
	}
	return nil, fmt.Errorf("azure image %q: %w: want PUBLISHER:OFFER:SKU:VERSION or an image's resource id", id, cloud.ErrInvalid)
}
