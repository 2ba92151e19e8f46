package account

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// Catalog is what a region offers.
type Catalog struct {
	Region string
	Specs  []cloud.Spec
	Images []cloud.Image
	price  cloud.Pricer // nil: prices are not known
}

// Price returns the list price of a machine type an hour, nil where it is not
// known.
func (c Catalog) Price(spec string) *float64 {
	if c.price == nil {
		return nil
	}
	if v, ok := c.price.PricePerHour(c.Region, spec); ok {
		return &v
	}
	return nil
}

// Specs lists the machine types of a region, "" for the default one, smallest
// first.
func (a Account) Specs(ctx context.Context, region string) (Catalog, error) {
	c, err := a.catalog(ctx, region, "machine types", func(ctx context.Context, x cloud.Catalog, c *Catalog) (err error) {
		c.Specs, err = x.Specs(ctx, c.Region)
		return err
	})
	c.Specs = slices.Clone(c.Specs)
	slices.SortStableFunc(c.Specs, func(a, b cloud.Spec) int {
		return cmp.Or(cmp.Compare(a.VCPU, b.VCPU), cmp.Compare(a.MemoryMiB, b.MemoryMiB))
	})
	return c, err
}

// Images lists the images of a region, "" for the default one: those with an
// alias first, the newest of each alias first.
func (a Account) Images(ctx context.Context, region string) (Catalog, error) {
	c, err := a.catalog(ctx, region, "images", func(ctx context.Context, x cloud.Catalog, c *Catalog) (err error) {
		c.Images, err = x.Images(ctx, c.Region)
		return err
	})
	c.Images = slices.Clone(c.Images)
	slices.SortStableFunc(c.Images, func(a, b cloud.Image) int {
		aliased := func(m cloud.Image) int {
			if m.Alias == "" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(aliased(a), aliased(b)), strings.Compare(a.Alias, b.Alias), b.Created.Compare(a.Created), strings.Compare(a.Name, b.Name))
	})
	return c, err
}

func (a Account) catalog(ctx context.Context, region, object string, read func(context.Context, cloud.Catalog, *Catalog) error) (Catalog, error) {
	regions, err := a.Regions(ctx)
	if err != nil {
		return Catalog{}, err
	}
	name, err := a.Choose(region, regions)
	if err != nil {
		return Catalog{}, err
	}
	c := Catalog{Region: name}
	c.price, _ = cloud.As[cloud.Pricer](a.Driver)
	x, ok := cloud.As[cloud.Catalog](a.Driver)
	if !ok {
		return c, nil
	}
	if err := read(ctx, x, &c); err != nil {
		return Catalog{}, a.fault(name, object, err)
	}
	return c, nil
}
