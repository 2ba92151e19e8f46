package openstack

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/availabilityzones"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/cbnet-io/cbnet/cloud"
)

// Regions implements cloud.Driver.
func (d *Driver) Regions(ctx context.Context) ([]cloud.Region, error) {
	s, err := d.logIn(ctx)
	if err != nil {
		return nil, err
	}
	var out []cloud.Region
	for _, name := range s.regions() {
		r, err := d.in(ctx, name)
		if err != nil {
			continue // without network or images it is of no use
		}
		zones, err := all(ctx, "GET /os-availability-zone", availabilityzones.List(r.compute), availabilityzones.ExtractAvailabilityZones)
		if err != nil {
			return nil, fmt.Errorf("regions: %w", err)
		}
		region := cloud.Region{Name: name}
		for _, z := range zones {
			if z.ZoneState.Available {
				region.Zones = append(region.Zones, z.ZoneName)
			}
		}
		slices.Sort(region.Zones)
		out = append(out, region)
	}
	return out, nil
}

// Specs implements cloud.Catalog: the flavors, smallest first.
func (d *Driver) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	r, err := d.in(ctx, region)
	if err != nil {
		return nil, fmt.Errorf("machine types in %s: %w", region, err)
	}
	list, err := allFlavors(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("machine types in %s: %w", region, err)
	}
	// Of two flavors of one size the one with the smaller disk is first.
	slices.SortFunc(list, func(a, b flavors.Flavor) int {
		return cmp.Or(cmp.Compare(a.VCPUs, b.VCPUs), cmp.Compare(a.RAM, b.RAM), cmp.Compare(a.Disk, b.Disk), strings.Compare(a.Name, b.Name))
	})
	out := make([]cloud.Spec, 0, len(list))
	for _, f := range list {
		out = append(out, spec(f))
	}
	return out, nil
}

func spec(f flavors.Flavor) cloud.Spec {
	return cloud.Spec{Name: f.Name, VCPU: f.VCPUs, MemoryMiB: f.RAM}
}

// Images implements cloud.Catalog: all images of the project. An image has the
// alias that its properties os_distro and os_version make, else that of its
// name.
func (d *Driver) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	r, err := d.in(ctx, region)
	if err != nil {
		return nil, fmt.Errorf("images in %s: %w", region, err)
	}
	list, err := all(ctx, "GET /images", images.List(r.image, images.ListOpts{Status: images.ImageStatusActive}), images.ExtractImages)
	if err != nil {
		return nil, fmt.Errorf("images in %s: %w", region, err)
	}
	out := make([]cloud.Image, 0, len(list))
	for _, i := range list {
		out = append(out, cloud.Image{ID: i.ID, Name: i.Name, Alias: alias(i), Created: i.CreatedAt})
	}
	return out, nil
}

func alias(i images.Image) string {
	distro, _ := i.Properties["os_distro"].(string)
	version, _ := i.Properties["os_version"].(string)
	if distro != "" && version != "" {
		if a := cloud.ImageAlias(strings.ToLower(distro) + "-" + version); a != "" {
			return a
		}
	}
	return cloud.ImageAlias(i.Name)
}

// ConsoleOutput implements cloud.Console.
func (d *Driver) ConsoleOutput(ctx context.Context, region, id string) (string, error) {
	r, err := d.in(ctx, region)
	if err != nil {
		return "", fmt.Errorf("VM %s in %s: %w", id, region, err)
	}
	text, err := servers.ShowConsoleOutput(ctx, r.compute, id, servers.ShowConsoleOutputOpts{Length: consoleLines}).Extract()
	if err != nil {
		return "", fmt.Errorf("VM %s in %s: %w", id, region, wrap("POST /servers/ID/action os-getConsoleOutput", err))
	}
	return text, nil
}

// consoleLines is how much of a console is asked for.
const consoleLines = 200

// Start implements cloud.Power.
func (d *Driver) Start(ctx context.Context, region, id string) error {
	return d.power(ctx, region, id, "os-start", func(ctx context.Context, r services) error {
		return servers.Start(ctx, r.compute, id).ExtractErr()
	})
}

// Stop implements cloud.Power.
func (d *Driver) Stop(ctx context.Context, region, id string) error {
	return d.power(ctx, region, id, "os-stop", func(ctx context.Context, r services) error {
		return servers.Stop(ctx, r.compute, id).ExtractErr()
	})
}

// Reboot implements cloud.Power.
func (d *Driver) Reboot(ctx context.Context, region, id string) error {
	return d.power(ctx, region, id, "reboot", func(ctx context.Context, r services) error {
		return servers.Reboot(ctx, r.compute, id, servers.RebootOpts{Type: servers.SoftReboot}).ExtractErr()
	})
}

func (d *Driver) power(ctx context.Context, name, id, action string, do func(context.Context, services) error) error {
	r, err := d.in(ctx, name)
	if err == nil {
		err = wrap("POST /servers/ID/action "+action, do(ctx, r))
	}
	if err != nil {
		return fmt.Errorf("VM %s in %s: %w", id, name, err)
	}
	return nil
}
