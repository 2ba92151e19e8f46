package gcp

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// Regions implements cloud.Driver.
func (d *Driver) Regions(ctx context.Context) ([]cloud.Region, error) {
	out, err := d.session(ctx).listRegions()
	if err != nil {
		return nil, fmt.Errorf("gcp regions: %w", err)
	}
	return out, nil
}

func (s *session) listRegions() ([]cloud.Region, error) {
	c, err := s.regions()
	if err != nil {
		return nil, err
	}
	var out []cloud.Region
	it := c.List(s.ctx, &computepb.ListRegionsRequest{Project: s.project})
	err = each(it.Next, func(r *computepb.Region) { out = append(out, region(r)) })
	slices.SortFunc(out, func(a, b cloud.Region) int { return strings.Compare(a.Name, b.Name) })
	return out, wrap("regions.list", err)
}

func region(r *computepb.Region) cloud.Region {
	out := cloud.Region{Name: r.GetName()}
	for _, z := range r.GetZones() {
		out.Zones = append(out.Zones, last(z))
	}
	slices.Sort(out.Zones)
	return out
}

// getRegion asks for one region.
func (s *session) getRegion(name string) (*computepb.Region, error) {
	c, err := s.regions()
	if err != nil {
		return nil, err
	}
	r, err := c.Get(s.ctx, &computepb.GetRegionRequest{Project: s.project, Region: name})
	return r, wrap("regions.get", err)
}

// Specs implements cloud.Catalog: the machine types for x86-64 that at least one
// zone of the region offers, the general purpose families first.
func (d *Driver) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	s := d.session(ctx)
	out, err := s.specs(region)
	if err != nil {
		return nil, fmt.Errorf("gcp machine types in %s: %w", region, s.explain(region, err))
	}
	return out, nil
}

func (s *session) specs(name string) ([]cloud.Spec, error) {
	r, err := s.getRegion(name)
	if err != nil {
		return nil, err
	}
	c, err := s.machineTypes()
	if err != nil {
		return nil, err
	}
	found := map[string]cloud.Spec{}
	for _, zone := range region(r).Zones {
		it := c.List(s.ctx, &computepb.ListMachineTypesRequest{Project: s.project, Zone: zone})
		err := each(it.Next, func(m *computepb.MachineType) {
			if m.GetDeprecated() == nil && !arm(m) {
				found[m.GetName()] = cloud.Spec{Name: m.GetName(), VCPU: int(m.GetGuestCpus()), MemoryMiB: int(m.GetMemoryMb())}
			}
		})
		if err != nil {
			return nil, wrap("machineTypes.list", err)
		}
	}
	out := make([]cloud.Spec, 0, len(found))
	for _, spec := range found {
		out = append(out, spec)
	}
	slices.SortFunc(out, func(a, b cloud.Spec) int {
		return cmp.Or(cmp.Compare(family(a.Name), family(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return out, nil
}

// arm reports whether a machine type has Arm processors; where the API does not
// say, the family does.
func arm(m *computepb.MachineType) bool {
	f, _, _ := strings.Cut(m.GetName(), "-")
	return m.GetArchitecture() == "ARM64" || m.GetArchitecture() == "" && slices.Contains([]string{"t2a", "c4a", "n4a", "a4x"}, f)
}

// family ranks the machine families, cheap and common ones first; it decides
// between types of equal size.
func family(name string) int {
	prefix, _, _ := strings.Cut(name, "-")
	order := []string{"e2", "n2d", "n2", "t2d", "n1", "n4", "c3", "c2"}
	if i := slices.Index(order, prefix); i >= 0 {
		return i
	}
	return len(order)
}

// imageSources are the projects of the images' makers, and the families of
// images that have an alias.
var imageSources = []struct{ project, filter string }{
	{"debian-cloud", `(family = "debian-11") OR (family = "debian-12") OR (family = "debian-13")`},
	{"ubuntu-os-cloud", `(family = "ubuntu-2204-lts") OR (family = "ubuntu-2404-lts-amd64") OR (family = "ubuntu-2604-lts-amd64")`},
}

// Images implements cloud.Catalog. Images are the same in all regions.
func (d *Driver) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	s := d.session(ctx)
	out, err := s.listImages(region)
	if err != nil {
		return nil, fmt.Errorf("gcp images in %s: %w", region, s.explain(region, err))
	}
	return out, nil
}

func (s *session) listImages(region string) ([]cloud.Image, error) {
	if _, err := s.getRegion(region); err != nil {
		return nil, err
	}
	c, err := s.images()
	if err != nil {
		return nil, err
	}
	var out []cloud.Image
	for _, source := range imageSources {
		it := c.List(s.ctx, &computepb.ListImagesRequest{Project: source.project, Filter: proto.String(source.filter)})
		err := each(it.Next, func(i *computepb.Image) {
			if state := i.GetDeprecated().GetState(); (state == "" || state == "ACTIVE") && i.GetArchitecture() != "ARM64" {
				out = append(out, cloud.Image{
					ID: "projects/" + source.project + "/global/images/" + i.GetName(), Name: i.GetName(), Alias: alias(i.GetFamily()), Created: instant(i.GetCreationTimestamp()),
				})
			}
		})
		if err != nil {
			return nil, wrap("images.list", err)
		}
	}
	return out, nil
}

var (
	debianFamily = regexp.MustCompile(`^debian-\d+$`)
	ubuntuFamily = regexp.MustCompile(`^ubuntu-(\d\d)(\d\d)-lts(-amd64)?$`)
	imagePath    = regexp.MustCompile(`^projects/([^/]+)/global/images/([^/]+)$`)
)

// alias is our name of an image family: "ubuntu-2404-lts-amd64" is
// "ubuntu-24.04".
func alias(family string) string {
	if debianFamily.MatchString(family) {
		return family
	}
	if m := ubuntuFamily.FindStringSubmatch(family); m != nil {
		return "ubuntu-" + m[1] + "." + m[2]
	}
	return ""
}

// imageRef splits an image's id.
func imageRef(id string) (project, name string, ok bool) {
	m := imagePath.FindStringSubmatch(id)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}
