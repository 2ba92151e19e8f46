package azure

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/compute/armcompute/v8"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/cloud"
)

// networkQuotas are those limits of the network that machines count against.
var networkQuotas = map[string]bool{
	"NetworkInterfaces": true, "PublicIPAddresses": true, "StaticPublicIPAddresses": true, "StandardSkuPublicIpAddresses": true,
}

// Quotas implements cloud.Quoter: all limits of Compute, in vCPUs by family and
// in all, and those of addresses and interfaces.
func (d *Driver) Quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	region = d.in(region)
	fail := func(err error) ([]cloud.Quota, error) {
		return nil, fmt.Errorf("azure quotas in %s: %w", region, d.explain(ctx, region, err))
	}
	compute, err := all(ctx, "GET usages", d.api.computeUsage.NewListPager(region, nil),
		func(p armcompute.UsageClientListResponse) []*armcompute.Usage { return p.Value })
	if err != nil {
		return fail(err)
	}
	network, err := all(ctx, "GET usages", d.api.networkUsage.NewListPager(region, nil),
		func(p armnetwork.UsagesClientListResponse) []*armnetwork.Usage { return p.Value })
	if err != nil {
		return fail(err)
	}
	var out []cloud.Quota
	for _, u := range compute {
		if u.Name != nil && val(u.Name.Value) != "" {
			out = append(out, cloud.Quota{Name: val(u.Name.Value), Used: int(val(u.CurrentValue)), Limit: int(val(u.Limit))})
		}
	}
	for _, u := range network {
		if u.Name != nil && networkQuotas[val(u.Name.Value)] {
			out = append(out, cloud.Quota{Name: val(u.Name.Value), Used: int(val(u.CurrentValue)), Limit: int(val(u.Limit))})
		}
	}
	return out, nil
}
