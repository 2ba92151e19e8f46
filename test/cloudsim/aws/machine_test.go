package aws_test

import (
	"encoding/base64"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// TestBoot boots an instance whose metadata service requires tokens: the real
// cloud-init runs its user data, and its security group decides who reaches it.
func TestBoot(t *testing.T) {
	f := simtest.Machines(t)
	s := &site{fabric: f, faults: faults.New(faults.Config{})}
	s.cloud = aws.New(aws.Options{Fabric: f, Faults: s.faults})
	srv := httptest.NewServer(s.cloud.Handler())
	s.url = srv.URL
	t.Cleanup(srv.Close)
	ctx := t.Context()
	c := s.client("us-east-1")
	l := newLand(t, c)
	g, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("g"), Description: sdk.String("d"), VpcId: &l.vpc})
	if err != nil {
		t.Fatal(err)
	}
	in := l.order(t, "boot")
	in.SubnetId = nil
	in.UserData = sdk.String(base64.StdEncoding.EncodeToString([]byte(
		"#!/bin/sh\necho \"$(hostname) in $(cat /run/cloud-init/cloud-id) has $(hostname -I)\" > /dev/console\n")))
	in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: sdk.Int32(0), SubnetId: &l.subnet, Groups: []string{*g.GroupId}, AssociatePublicIpAddress: sdk.Bool(true), PrivateIpAddress: sdk.String("10.0.1.10"),
	}}
	made, err := c.RunInstances(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.Instances[0].InstanceId
	console := func() string {
		out, err := c.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(sdk.ToString(out.Output))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	simtest.Within(t, 90*time.Second, func() (bool, string) {
		text := console()
		return strings.Contains(text, "ip-10-0-1-10 in aws has 10.0.1.10"), text
	})
	public := *state(t, c, id).PublicIpAddress
	pings := func() bool { return exec.CommandContext(ctx, "ping", "-c1", "-W1", public).Run() == nil }
	if pings() {
		t.Errorf("%s answers without a rule", public)
	}
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: sdk.String("icmp"), FromPort: sdk.Int32(-1), ToPort: sdk.Int32(-1), IpRanges: []types.IpRange{{CidrIp: sdk.String("198.18.0.0/15")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if !pings() {
		t.Errorf("%s does not answer although a rule lets it", public)
	}
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	simtest.Until(t, "terminated", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameTerminated })
}
