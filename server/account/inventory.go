package account

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
)

// Inventory is what an account holds of the mesh.
type Inventory struct {
	Regions   []string           // that were asked
	Resources []cloud.Resource   // by region, kind and id
	Failed    []*mcis.CloudError // regions that did not answer, by name
}

// Inventory lists everything that bears the mesh's mark in one region, "" for
// all. The error is of the account as a whole: regions that fail are in Failed.
func (a Account) Inventory(ctx context.Context, region string) (Inventory, error) {
	names, err := a.scope(ctx, region)
	if err != nil {
		return Inventory{}, err
	}
	inv := Inventory{Regions: names}
	for _, l := range a.lists(ctx, names) {
		if l.err != nil {
			inv.Failed = append(inv.Failed, l.err)
			continue
		}
		inv.Resources = append(inv.Resources, l.resources...)
	}
	slices.SortStableFunc(inv.Resources, func(a, b cloud.Resource) int { return strings.Compare(a.Region, b.Region) })
	return inv, nil
}

// scope returns the names of the one region asked for, or of all.
func (a Account) scope(ctx context.Context, region string) ([]string, error) {
	all, err := a.Regions(ctx)
	if err != nil {
		return nil, err
	}
	if region != "" {
		name, err := a.Choose(region, all)
		return []string{name}, err
	}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Name
	}
	return names, nil
}

// listing is what one region answered.
type listing struct {
	region    string
	resources []cloud.Resource // in the order in which they can be deleted
	err       *mcis.CloudError // nil: it answered
}

// lists asks regions for what bears the mesh's mark, a few at a time.
func (a Account) lists(ctx context.Context, regions []string) []listing {
	out := make([]listing, len(regions))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, region := range regions {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			out[i].region = region
			list, err := a.Driver.List(ctx, region, cloud.Owner{Mesh: a.Mesh})
			if err != nil {
				out[i].err = a.fault(region, "inventory", err)
				return nil
			}
			out[i].resources = cloud.DeleteOrder(list)
			return nil
		})
	}
	_ = g.Wait() // the errors are in out
	return out
}
