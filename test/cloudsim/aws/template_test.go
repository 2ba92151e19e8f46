package aws_test

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestTemplate launches from a template, whose interface outlives the machine.
func TestTemplate(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	ctx := t.Context()
	ami := image(t, c)
	spec := &types.LaunchTemplateSpecification{LaunchTemplateName: sdk.String("web")}
	one := &ec2.RunInstancesInput{MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1), LaunchTemplate: spec, InstanceType: types.InstanceTypeT3Small}
	_, err := c.RunInstances(ctx, one)
	wantCode(t, "no template", err, "InvalidLaunchTemplateName.NotFoundException")
	data := &types.RequestLaunchTemplateData{
		ImageId: &ami, InstanceType: types.InstanceTypeT3Micro,
		NetworkInterfaces: []types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{
			DeviceIndex: sdk.Int32(0), DeleteOnTermination: sdk.Bool(false),
		}},
	}
	made, err := c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: sdk.String("web"), LaunchTemplateData: data})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: sdk.String("web"), LaunchTemplateData: data})
	wantCode(t, "twice", err, "InvalidLaunchTemplateName.AlreadyExistsException")
	_, err = c.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: sdk.String("odd"), LaunchTemplateData: &types.RequestLaunchTemplateData{KernelId: sdk.String("aki-1")},
	})
	wantCode(t, "what is not simulated", err, "UnknownParameter")
	spec.Version = sdk.String("2")
	_, err = c.RunInstances(ctx, one)
	wantCode(t, "no version 2", err, "InvalidLaunchTemplateId.VersionNotFound")
	spec.Version = sdk.String("$Latest")
	run, err := c.RunInstances(ctx, one)
	if err != nil {
		t.Fatal(err)
	}
	i := run.Instances[0]
	if i.InstanceType != types.InstanceTypeT3Small || *i.ImageId != ami {
		t.Errorf("got %s of %s, want the request's type and the template's image", i.InstanceType, *i.ImageId)
	}
	tags := map[string]string{}
	for _, tag := range i.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if tags["aws:ec2launchtemplate:id"] != *made.LaunchTemplate.LaunchTemplateId || tags["aws:ec2launchtemplate:version"] != "1" {
		t.Errorf("tags %v", tags)
	}
	eni := *i.NetworkInterfaces[0].NetworkInterfaceId
	_, err = c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &eni})
	wantCode(t, "delete an interface in use", err, "InvalidNetworkInterface.InUse")
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Fatal(err)
	}
	simtest.Until(t, "terminated", func() bool {
		for _, o := range s.cloud.Inventory() {
			if o.ID == *i.InstanceId {
				return o.State == "terminated"
			}
		}
		return false
	})
	have, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{eni}})
	if err != nil || have.NetworkInterfaces[0].Status != types.NetworkInterfaceStatusAvailable || have.NetworkInterfaces[0].Attachment != nil {
		t.Fatalf("the interface that was to be kept: %+v, %v", have, err)
	}
	if _, err := c.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &eni}); err != nil {
		t.Error(err)
	}
	if _, err := c.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: sdk.String("web")}); err != nil {
		t.Error(err)
	}
	for _, o := range s.cloud.Inventory() {
		if o.State != "terminated" {
			t.Errorf("left over: %+v", o)
		}
	}
}

// TestModifyRules changes a rule in place; what is not said of it is not kept.
func TestModifyRules(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	ctx := t.Context()
	group, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("g"), Description: sdk.String("g"), VpcId: &l.vpc})
	if err != nil {
		t.Fatal(err)
	}
	added, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(80), ToPort: sdk.Int32(80),
		IpRanges: []types.IpRange{{CidrIp: sdk.String("10.0.0.0/8"), Description: sdk.String("old")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	id := added.SecurityGroupRules[0].SecurityGroupRuleId
	modify := func(r *types.SecurityGroupRuleRequest) error {
		_, err := c.ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{
			GroupId: group.GroupId, SecurityGroupRules: []types.SecurityGroupRuleUpdate{{SecurityGroupRuleId: id, SecurityGroupRule: r}},
		})
		return err
	}
	wantCode(t, "no source", modify(&types.SecurityGroupRuleRequest{IpProtocol: sdk.String("udp"), FromPort: sdk.Int32(53), ToPort: sdk.Int32(53)}), "MissingParameter")
	if err := modify(&types.SecurityGroupRuleRequest{
		IpProtocol: sdk.String("udp"), FromPort: sdk.Int32(53), ToPort: sdk.Int32(53), CidrIpv4: sdk.String("0.0.0.0/0"),
	}); err != nil {
		t.Fatal(err)
	}
	have, err := c.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{*id}})
	if err != nil {
		t.Fatal(err)
	}
	if r := have.SecurityGroupRules[0]; *r.IpProtocol != "udp" || *r.FromPort != 53 || *r.CidrIpv4 != "0.0.0.0/0" || r.Description != nil {
		t.Errorf("got %+v", r)
	}
}
