package alibaba

import (
	"context"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
)

// yes is true as requests write it.
var yes = requests.NewBoolean(true)

func pageSize(n int) requests.Integer { return requests.NewInteger(n) }

// vpcs lists VPCs by tags or id.
func (d *Driver) vpcs(ctx context.Context, region string, tags map[string]string, id string) ([]vpc.Vpc, error) {
	var out []vpc.Vpc
	for page := 1; ; page++ {
		req, resp := vpc.CreateDescribeVpcsRequest(), vpc.CreateDescribeVpcsResponse()
		req.VpcId, req.PageNumber, req.PageSize = id, pageSize(page), pageSize(50)
		if tags != nil {
			req.Tag = repeated(tags, func(k, v string) vpc.DescribeVpcsTag { return vpc.DescribeVpcsTag{Key: k, Value: v} })
		}
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, err
		}
		out = append(out, resp.Vpcs.Vpc...)
		if len(resp.Vpcs.Vpc) == 0 || len(out) >= resp.TotalCount {
			return out, nil
		}
	}
}

// vswitches lists VSwitches by tags, VPC or id.
func (d *Driver) vswitches(ctx context.Context, region string, tags map[string]string, vpcID, id string) ([]vpc.VSwitch, error) {
	var out []vpc.VSwitch
	for page := 1; ; page++ {
		req, resp := vpc.CreateDescribeVSwitchesRequest(), vpc.CreateDescribeVSwitchesResponse()
		req.VpcId, req.VSwitchId, req.PageNumber, req.PageSize = vpcID, id, pageSize(page), pageSize(50)
		if tags != nil {
			req.Tag = repeated(tags, func(k, v string) vpc.DescribeVSwitchesTag {
				return vpc.DescribeVSwitchesTag{Key: k, Value: v}
			})
		}
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, err
		}
		out = append(out, resp.VSwitches.VSwitch...)
		if len(resp.VSwitches.VSwitch) == 0 || len(out) >= resp.TotalCount {
			return out, nil
		}
	}
}
