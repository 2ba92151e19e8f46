package alibaba

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/cbnet-io/cbnet/cloud"
)

// The attributes of an account that machines count against.
const (
	maxVCPUs  = "max-postpaid-instance-vcpu-count"
	usedVCPUs = "used-postpaid-instance-vcpu-count"
)

// Quotas implements cloud.Quoter: the vCPUs of machines paid by use.
func (d *Driver) Quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	req, resp := ecs.CreateDescribeAccountAttributesRequest(), ecs.CreateDescribeAccountAttributesResponse()
	req.AttributeName = &[]string{maxVCPUs, usedVCPUs}
	if err := d.call(ctx, region, req, resp); err != nil {
		return nil, fmt.Errorf("%s: quotas in %s: %w", Provider, region, err)
	}
	values := map[string]int{}
	for _, item := range resp.AccountAttributeItems.AccountAttributeItem {
		for _, v := range item.AttributeValues.ValueItem {
			n, err := strconv.Atoi(v.Value)
			if err != nil {
				return nil, fmt.Errorf("%s: quotas in %s: %s: %w", Provider, region, item.AttributeName, err)
			}
			values[item.AttributeName] = n
		}
	}
	limit, ok := values[maxVCPUs]
	if !ok {
		return nil, nil // the vendor tells none
	}
	return []cloud.Quota{{Name: maxVCPUs, Used: values[usedVCPUs], Limit: limit}}, nil
}
