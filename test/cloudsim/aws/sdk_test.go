package aws_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// client returns the vendor's client, which does not retry unless told to.
func (s *site) client(region string, change ...func(*ec2.Options)) *ec2.Client {
	o := ec2.Options{
		Region: region, BaseEndpoint: sdk.String(s.url), Retryer: sdk.NopRetryer{}, HTTPClient: &http.Client{Transport: copied{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	}
	for _, c := range change {
		c(&o)
	}
	return ec2.New(o)
}

// copied sends copies of the bodies of requests. The SDK closes a body once the
// answer has begun; if that is before net/http has seen the body's end, which
// happens where both ends are one process, net/http drops the connection.
type copied struct{}

// RoundTrip implements http.RoundTripper.
func (copied) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	return http.DefaultTransport.RoundTrip(req)
}

// code returns the vendor's code of an error, "" for none.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// wantCode checks that a call was refused in the vendor's words.
func wantCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// land is a VPC with a subnet.
type land struct {
	c                    *ec2.Client
	vpc, subnet, gateway string
}

// newLand makes a VPC that reaches the internet.
func newLand(t *testing.T, c *ec2.Client) *land {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/16")})
	check(err)
	l := &land{c: c, vpc: *vpc.Vpc.VpcId}
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &l.vpc, CidrBlock: sdk.String("10.0.1.0/24")})
	check(err)
	gw, err := c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{})
	check(err)
	l.subnet, l.gateway = *subnet.Subnet.SubnetId, *gw.InternetGateway.InternetGatewayId
	_, err = c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{VpcId: &l.vpc, InternetGatewayId: &l.gateway})
	check(err)
	tables, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: []types.Filter{{Name: sdk.String("vpc-id"), Values: []string{l.vpc}}}})
	check(err)
	_, err = c.CreateRoute(ctx, &ec2.CreateRouteInput{RouteTableId: tables.RouteTables[0].RouteTableId, DestinationCidrBlock: sdk.String("0.0.0.0/0"), GatewayId: &l.gateway})
	check(err)
	return l
}

// image returns the id of the newest Debian image.
func image(t *testing.T, c *ec2.Client) string {
	t.Helper()
	out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{
		Owners:  []string{"136693071363"},
		Filters: []types.Filter{{Name: sdk.String("name"), Values: []string{"debian-12-*"}}, {Name: sdk.String("architecture"), Values: []string{"x86_64"}}},
	})
	if err != nil || len(out.Images) < 2 {
		t.Fatalf("images: %v, %v", out, err)
	}
	slices.SortFunc(out.Images, func(a, b types.Image) int { return strings.Compare(*b.CreationDate, *a.CreationDate) })
	return *out.Images[0].ImageId
}

// order is a launch of one small instance.
func (l *land) order(t *testing.T, token string) *ec2.RunInstancesInput {
	t.Helper()
	return &ec2.RunInstancesInput{
		ImageId: sdk.String(image(t, l.c)), InstanceType: types.InstanceTypeT3Small, MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1),
		ClientToken: &token, SubnetId: &l.subnet,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: sdk.String("Name"), Value: sdk.String(token)}}}},
	}
}

// state returns the state of an instance.
func state(t *testing.T, c *ec2.Client, id string) types.Instance {
	t.Helper()
	out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

func TestSignature(t *testing.T) {
	s := open(t)
	regions := &ec2.DescribeRegionsInput{}
	keys := func(id, secret string) func(*ec2.Options) {
		return func(o *ec2.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "") }
	}
	for _, tt := range []struct {
		name   string
		region string
		change func(*ec2.Options)
		want   string
	}{
		{"right", "us-east-1", keys("AKIAEXAMPLE", "secret"), ""},
		{"wrong key", "us-east-1", keys("AKIANOBODY", "secret"), "AuthFailure"},
		{"wrong secret", "us-east-1", keys("AKIAEXAMPLE", "guess"), "SignatureDoesNotMatch"},
		{"no such region", "moon-east-1", keys("AKIAEXAMPLE", "secret"), "AuthFailure"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := s.client(tt.region, tt.change).DescribeRegions(t.Context(), regions)
			wantCode(t, "DescribeRegions", err, tt.want)
		})
	}
	late := open(t, func(o *aws.Options) { o.Now = func() time.Time { return time.Now().Add(16 * time.Minute) } })
	_, err := late.client("us-east-1").DescribeRegions(t.Context(), regions)
	wantCode(t, "a clock that is off", err, "RequestExpired")
}

func TestLifeCycle(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	ctx := t.Context()
	in := l.order(t, "one")
	in.SubnetId = nil
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: sdk.Int32(0), SubnetId: &l.subnet, AssociatePublicIpAddress: sdk.Bool(true), PrivateIpAddress: sdk.String("10.0.1.20"),
	}}
	first, err := c.RunInstances(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	id := *first.Instances[0].InstanceId
	again, err := c.RunInstances(ctx, in)
	if err != nil || *again.Instances[0].InstanceId != id || *again.ReservationId != *first.ReservationId {
		t.Errorf("the same token again: %+v, %v", again, err)
	}
	in.InstanceType = types.InstanceTypeT3Medium
	_, err = c.RunInstances(ctx, in)
	wantCode(t, "the same token, another type", err, "IdempotentParameterMismatch")

	simtest.Until(t, "running", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameRunning })
	public := *state(t, c, id).PublicIpAddress
	clash := l.order(t, "two")
	clash.PrivateIpAddress = sdk.String("10.0.1.20")
	_, err = c.RunInstances(ctx, clash)
	wantCode(t, "an address that is taken", err, "InvalidIPAddress.InUse")

	if _, err := c.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	simtest.Until(t, "stopped", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameStopped })
	if got := state(t, c, id).PublicIpAddress; got != nil {
		t.Errorf("a stopped instance keeps the public address %s", *got)
	}
	if _, err := c.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}}); err != nil {
		t.Fatal(err)
	}
	simtest.Until(t, "running again", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameRunning })
	if got := state(t, c, id).PublicIpAddress; got == nil || *got == public {
		t.Logf("the public address after a stop: %v, before: %s", got, public)
	}
	_, err = c.DetachInternetGateway(ctx, &ec2.DetachInternetGatewayInput{VpcId: &l.vpc, InternetGatewayId: &l.gateway})
	wantCode(t, "detach the gateway of a mapped address", err, "DependencyViolation")
	for range 2 {
		if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
			t.Fatal(err)
		}
	}
	simtest.Until(t, "terminated", func() bool { return state(t, c, id).State.Name == types.InstanceStateNameTerminated })
	if gone := state(t, c, id); gone.VpcId != nil || gone.PrivateIpAddress != nil || len(gone.Tags) != 1 {
		t.Errorf("a terminated instance: %+v", gone)
	}
	in.InstanceType = types.InstanceTypeT3Small
	dead, err := c.RunInstances(ctx, in)
	if err != nil || *dead.Instances[0].InstanceId != id {
		t.Errorf("an old token is answered with %+v, %v, want the dead instance", dead, err)
	}
}

func TestBadInput(t *testing.T) {
	s := open(t)
	c := s.client("eu-central-1")
	l := newLand(t, c)
	ctx := t.Context()
	for _, tt := range []struct {
		name   string
		change func(*ec2.RunInstancesInput)
		want   string
	}{
		{"image", func(in *ec2.RunInstancesInput) { in.ImageId = sdk.String("ami-0123456789abcdef0") }, "InvalidAMIID.NotFound"},
		{"image malformed", func(in *ec2.RunInstancesInput) { in.ImageId = sdk.String("debian") }, "InvalidAMIID.Malformed"},
		{"type", func(in *ec2.RunInstancesInput) { in.InstanceType = "z9.huge" }, "InvalidParameterValue"},
		{"subnet", func(in *ec2.RunInstancesInput) { in.SubnetId = sdk.String("subnet-0123456789abcdef0") }, "InvalidSubnetID.NotFound"},
		{"group", func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-0123456789abcdef0"} }, "InvalidGroup.NotFound"},
		{"key", func(in *ec2.RunInstancesInput) { in.KeyName = sdk.String("nobody") }, "InvalidKeyPair.NotFound"},
		{"address outside", func(in *ec2.RunInstancesInput) { in.PrivateIpAddress = sdk.String("10.9.9.9") }, "InvalidParameterValue"},
		{"address reserved", func(in *ec2.RunInstancesInput) { in.PrivateIpAddress = sdk.String("10.0.1.2") }, "InvalidParameterValue"},
		{"user data", func(in *ec2.RunInstancesInput) {
			in.UserData = sdk.String(base64.StdEncoding.EncodeToString(make([]byte, 16385)))
		}, "InvalidParameterValue"},
		{"user data not base64", func(in *ec2.RunInstancesInput) { in.UserData = sdk.String("#!/bin/sh") }, "InvalidUserData.Malformed"},
		{"token too long", func(in *ec2.RunInstancesInput) { in.ClientToken = sdk.String(strings.Repeat("x", 65)) }, "InvalidParameterValue"},
		{"unknown parameter", func(in *ec2.RunInstancesInput) { in.KernelId = sdk.String("aki-1") }, "UnknownParameter"},
		{"dry run", func(in *ec2.RunInstancesInput) { in.DryRun = sdk.Bool(true) }, "DryRunOperation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := l.order(t, tt.name)
			tt.change(in)
			_, err := c.RunInstances(ctx, in)
			wantCode(t, "RunInstances", err, tt.want)
		})
	}
	_, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: sdk.String("colour"), Values: []string{"red"}}}})
	wantCode(t, "an unknown filter", err, "InvalidParameterValue")
	_, err = c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: sdk.String("10.0.0.0/8")})
	wantCode(t, "a VPC that is too large", err, "InvalidVpc.Range")
	_, err = c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: &l.vpc, CidrBlock: sdk.String("10.0.1.128/25")})
	wantCode(t, "a subnet that overlaps", err, "InvalidSubnet.Conflict")
	for _, o := range s.cloud.Inventory() {
		if o.Kind == "vm" {
			t.Errorf("made nevertheless: %+v", o)
		}
	}
}

func TestGroupRules(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	ctx := t.Context()
	g, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("shop"), Description: sdk.String("d"), VpcId: &l.vpc})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: sdk.String("shop"), Description: sdk.String("d"), VpcId: &l.vpc})
	wantCode(t, "a group of the same name", err, "InvalidGroup.Duplicate")
	perms := []types.IpPermission{
		{IpProtocol: sdk.String("udp"), FromPort: sdk.Int32(51820), ToPort: sdk.Int32(51820), IpRanges: []types.IpRange{{CidrIp: sdk.String("0.0.0.0/0"), Description: sdk.String("wireguard")}}},
		{IpProtocol: sdk.String("tcp"), FromPort: sdk.Int32(22), ToPort: sdk.Int32(22), UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: g.GroupId}}},
	}
	auth := &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: perms}
	if _, err := c.AuthorizeSecurityGroupIngress(ctx, auth); err != nil {
		t.Fatal(err)
	}
	_, err = c.AuthorizeSecurityGroupIngress(ctx, auth)
	wantCode(t, "the same rules again", err, "InvalidPermission.Duplicate")
	have, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*g.GroupId}})
	if err != nil {
		t.Fatal(err)
	}
	if n, m := len(have.SecurityGroups[0].IpPermissions), len(have.SecurityGroups[0].IpPermissionsEgress); n != 2 || m != 1 {
		t.Errorf("%d rules in, %d out; want 2 and 1", n, m)
	}
	if _, err := c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: perms[:1]}); err != nil {
		t.Fatal(err)
	}
	_, err = c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: perms[:1]})
	wantCode(t, "revoke what is not there", err, "InvalidPermission.NotFound")
	_, err = c.DeleteVpc(ctx, &ec2.DeleteVpcInput{VpcId: &l.vpc})
	wantCode(t, "a VPC in use", err, "DependencyViolation")
}

func TestPages(t *testing.T) {
	s := open(t)
	c := s.client("us-east-1")
	l := newLand(t, c)
	in := l.order(t, "many")
	in.MinCount, in.MaxCount = sdk.Int32(12), sdk.Int32(12)
	if _, err := c.RunInstances(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	pages := 0
	p := ec2.NewDescribeInstancesPaginator(c, &ec2.DescribeInstancesInput{MaxResults: sdk.Int32(5), Filters: []types.Filter{{Name: sdk.String("tag:Name"), Values: []string{"m?n*"}}}})
	for p.HasMorePages() {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				seen[*i.InstanceId] = true
			}
		}
	}
	if len(seen) != 12 || pages != 3 {
		t.Errorf("%d instances on %d pages, want 12 on 3", len(seen), pages)
	}
	_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{NextToken: sdk.String("x")})
	wantCode(t, "a token of nobody", err, "InvalidNextToken")
}
