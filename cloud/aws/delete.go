package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// Delete implements cloud.Driver.
func (d *Driver) Delete(ctx context.Context, res cloud.Resource) error {
	x := deletion{c: d.client(res.Region), res: res}
	steps := map[cloud.Kind]func(context.Context) error{
		cloud.KindVM:            x.vm,
		cloud.KindRouter:        x.gateway,
		cloud.KindKey:           x.key,
		cloud.KindSecurityGroup: x.group,
		cloud.KindSubnet:        x.subnet,
		cloud.KindNetwork:       x.vpc,
	}
	step, ok := steps[res.Kind]
	if !ok || res.ID == "" {
		return fmt.Errorf("delete %s %q: %w: this driver makes no such thing", res.Kind, res.ID, cloud.ErrInvalid)
	}
	err := step(ctx)
	if err == nil || gone(err) {
		return nil
	}
	if errors.Is(err, cloud.ErrOwner) {
		return err
	}
	return fmt.Errorf("delete %s %s in %s: %w", res.Kind, res.ID, res.Region, d.in(ctx, res.Region, err))
}

// deletion is one Delete under way. Its steps return nil or a not-found error
// when there is nothing (left) to delete.
type deletion struct {
	c   *ec2.Client
	res cloud.Resource
}

func (x deletion) check(tags []types.Tag) error { return cloud.CheckOwner(x.res, tagMap(tags)) }

func (x deletion) vm(ctx context.Context) error {
	list, err := instances(ctx, x.c, &ec2.DescribeInstancesInput{InstanceIds: []string{x.res.ID}})
	if err != nil || len(list) == 0 {
		return err
	}
	i := list[0]
	vm := machine(i)
	ended := i.State != nil && i.State.Name == types.InstanceStateNameTerminated
	if ended && len(i.Tags) == 0 {
		return nil // nobody's any more: an earlier Delete took the tags away
	}
	if err := x.check(i.Tags); err != nil {
		return err
	}
	switch {
	case vm.State == cloud.VMDeleting:
		return nil
	case ended: // failed by EC2: leave the list
		var tags []types.Tag
		for _, k := range slices.Sorted(maps.Keys(tagMap(i.Tags))) {
			tags = append(tags, types.Tag{Key: aws.String(k)})
		}
		_, err := x.c.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{x.res.ID}, Tags: tags})
		return wrap("DeleteTags", err)
	}
	_, err = x.c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{x.res.ID}})
	return wrap("TerminateInstances", err)
}

func (x deletion) gateway(ctx context.Context) error {
	have, err := x.c.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{InternetGatewayIds: []string{x.res.ID}})
	if err != nil || len(have.InternetGateways) == 0 {
		return wrap("DescribeInternetGateways", err)
	}
	gw := have.InternetGateways[0]
	if err := x.check(gw.Tags); err != nil {
		return err
	}
	for _, a := range gw.Attachments {
		_, err := x.c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{InternetGatewayId: gw.InternetGatewayId, VpcId: a.VpcId})
		if err := wrap("DetachInternetGateway", err); err != nil && !already(err, "Gateway.NotAttached") {
			return err
		}
	}
	_, err = x.c.DeleteInternetGateway(ctx, &ec2.DeleteInternetGatewayInput{InternetGatewayId: gw.InternetGatewayId})
	return wrap("DeleteInternetGateway", err)
}

func (x deletion) group(ctx context.Context) error {
	have, err := x.c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{x.res.ID}})
	if err != nil || len(have.SecurityGroups) == 0 {
		return wrap("DescribeSecurityGroups", err)
	}
	if err := x.check(have.SecurityGroups[0].Tags); err != nil {
		return err
	}
	_, err = x.c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(x.res.ID)})
	return wrap("DeleteSecurityGroup", err)
}

func (x deletion) subnet(ctx context.Context) error {
	have, err := x.c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{x.res.ID}})
	if err != nil || len(have.Subnets) == 0 {
		return wrap("DescribeSubnets", err)
	}
	if err := x.check(have.Subnets[0].Tags); err != nil {
		return err
	}
	_, err = x.c.DeleteSubnet(ctx, &ec2.DeleteSubnetInput{SubnetId: aws.String(x.res.ID)})
	return wrap("DeleteSubnet", err)
}

func (x deletion) vpc(ctx context.Context) error {
	have, err := x.c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{x.res.ID}})
	if err != nil || len(have.Vpcs) == 0 {
		return wrap("DescribeVpcs", err)
	}
	if err := x.check(have.Vpcs[0].Tags); err != nil {
		return err
	}
	_, err = x.c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: aws.String(x.res.ID)})
	return wrap("DeleteVpc", err)
}
