package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions/v2"

	"github.com/cbnet-io/cbnet/cloud"
)

// Regions implements cloud.Driver.
func (d *Driver) Regions(ctx context.Context) ([]cloud.Region, error) {
	var out []cloud.Region
	for p := d.api.subscriptions.NewListLocationsPager(d.subscription, nil); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("azure regions: %w", wrap("GET locations", err))
		}
		for _, l := range page.Value {
			// Logical ones are groups of regions: "europe", "global".
			if l == nil || l.Metadata != nil && val(l.Metadata.RegionType) == armsubscriptions.RegionTypeLogical {
				continue
			}
			r := cloud.Region{Name: val(l.Name)}
			for _, z := range l.AvailabilityZoneMappings {
				if z != nil {
					r.Zones = append(r.Zones, val(z.LogicalZone))
				}
			}
			slices.Sort(r.Zones)
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b cloud.Region) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// explain adds to an error that may come from a wrong region which regions there
// are. ARM has several codes for it, by the kind of object. It also registers
// providers that the subscription has never used.
func (d *Driver) explain(ctx context.Context, region string, err error) error {
	switch {
	case hasCode(err, "MissingSubscriptionRegistration"):
		return d.register(ctx, err)
	case errors.Is(err, cloud.ErrInvalid), hasCode(err, "ResourceGroupNotFound"):
		return cmp.Or(d.unknownRegion(ctx, region, err), err)
	}
	return err
}

// register asks ARM to make Compute and Network known to the subscription, which
// takes it a minute or two: cause, which wraps cloud.ErrUnavailable, passes.
func (d *Driver) register(ctx context.Context, cause error) error {
	for _, name := range []string{"Microsoft.Compute", "Microsoft.Network"} {
		if _, err := d.api.providers.Register(ctx, name, nil); err != nil {
			return wrap("POST register", err)
		}
	}
	return fmt.Errorf("asked for its registration: %w", cause)
}

// unknownRegion returns nil for a region that exists, or if that cannot be
// found out, and else an error that names those near it.
func (d *Driver) unknownRegion(ctx context.Context, region string, cause error) error {
	regions, err := d.Regions(ctx)
	if err != nil {
		return nil
	}
	if _, err = cloud.ResolveRegion(regions, region); err == nil {
		return nil
	}
	err = fmt.Errorf("azure: %w", err)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
