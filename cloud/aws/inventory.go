package aws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// List implements cloud.Driver by six calls, made at the same time.
func (d *Driver) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	if owner.Mesh == "" {
		return nil, fmt.Errorf("list %s: %w: the owner names no mesh", region, cloud.ErrInvalid)
	}
	l := lister{c: d.client(region), region: region, filters: ownerFilters(owner)}
	parts := []func(context.Context) ([]cloud.Resource, error){l.vms, l.gateways, l.groups, l.subnets, l.vpcs, l.keys}
	lists := make([][]cloud.Resource, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	for i, part := range parts {
		g.Go(func() (err error) {
			lists[i], err = part(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("list %s: %w", region, d.in(ctx, region, err))
	}
	var out []cloud.Resource
	for _, l := range lists {
		for _, r := range l {
			if r.Owner.Matches(owner) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// lister is one List under way.
type lister struct {
	c       *ec2.Client
	region  string
	filters []types.Filter
}

func (l lister) resource(kind cloud.Kind, id *string, tags []types.Tag) cloud.Resource {
	m := tagMap(tags)
	return cloud.Resource{
		Kind: kind, Region: l.region, ID: aws.ToString(id), Name: m[keyName], Owner: cloud.OwnerOf(m), Tags: m,
	}
}

func (l lister) vms(ctx context.Context) ([]cloud.Resource, error) {
	list, err := instances(ctx, l.c, &ec2.DescribeInstancesInput{Filters: l.filters})
	if err != nil {
		return nil, err
	}
	var out []cloud.Resource
	for _, i := range list {
		vm := machine(i)
		if i.State != nil && i.State.Name == types.InstanceStateNameTerminated && vm.State == cloud.VMDeleting {
			continue // gone; EC2 shows it for another hour
		}
		r := l.resource(cloud.KindVM, i.InstanceId, i.Tags)
		r.VM, r.Labels = &vm, labels(r.Tags)
		out = append(out, r)
	}
	return out, nil
}

func (l lister) gateways(ctx context.Context) (out []cloud.Resource, err error) {
	p := ec2.NewDescribeInternetGatewaysPaginator(l.c, &ec2.DescribeInternetGatewaysInput{Filters: l.filters})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeInternetGateways", err)
		}
		for _, v := range page.InternetGateways {
			out = append(out, l.resource(cloud.KindRouter, v.InternetGatewayId, v.Tags))
		}
	}
	return out, nil
}

func (l lister) groups(ctx context.Context) (out []cloud.Resource, err error) {
	p := ec2.NewDescribeSecurityGroupsPaginator(l.c, &ec2.DescribeSecurityGroupsInput{Filters: l.filters})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeSecurityGroups", err)
		}
		for _, v := range page.SecurityGroups {
			out = append(out, l.resource(cloud.KindSecurityGroup, v.GroupId, v.Tags))
		}
	}
	return out, nil
}

func (l lister) subnets(ctx context.Context) (out []cloud.Resource, err error) {
	p := ec2.NewDescribeSubnetsPaginator(l.c, &ec2.DescribeSubnetsInput{Filters: l.filters})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeSubnets", err)
		}
		for _, v := range page.Subnets {
			r := l.resource(cloud.KindSubnet, v.SubnetId, v.Tags)
			r.Parent = aws.ToString(v.VpcId)
			out = append(out, r)
		}
	}
	return out, nil
}

func (l lister) vpcs(ctx context.Context) (out []cloud.Resource, err error) {
	p := ec2.NewDescribeVpcsPaginator(l.c, &ec2.DescribeVpcsInput{Filters: l.filters})
	for p.HasMorePages() {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeVpcs", err)
		}
		for _, v := range page.Vpcs {
			out = append(out, l.resource(cloud.KindNetwork, v.VpcId, v.Tags))
		}
	}
	return out, nil
}
