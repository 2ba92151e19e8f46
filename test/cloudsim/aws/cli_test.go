package aws_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestCLI drives a whole life cycle with the vendor's own command line.
func TestCLI(t *testing.T) {
	simtest.NeedTool(t, "aws")
	s := open(t)
	must := func(args ...string) map[string]any {
		t.Helper()
		out, complaint := s.cli(t, append([]string{"ec2"}, args...)...)
		if complaint != "" {
			t.Fatalf("aws ec2 %s: %s", strings.Join(args, " "), complaint)
		}
		return out
	}
	refused := func(code string, args ...string) {
		t.Helper()
		_, complaint := s.cli(t, append([]string{"ec2"}, args...)...)
		if !strings.Contains(complaint, "("+code+")") {
			t.Errorf("aws ec2 %s: got %q, want %s", strings.Join(args, " "), complaint, code)
		}
	}

	images := must("describe-images", "--owners", "136693071363", "--filters", "Name=name,Values=debian-12-amd64-*",
		"--query", "{Images: sort_by(Images, &CreationDate)}")
	image := simtest.Text(images, "Images", 1, "ImageId")

	vpc := simtest.Text(must("create-vpc", "--cidr-block", "10.0.0.0/16",
		"--tag-specifications", "ResourceType=vpc,Tags=[{Key=cbnet-mcis,Value=shop}]"), "Vpc", "VpcId")
	subnet := simtest.Text(must("create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.1.0/24"), "Subnet", "SubnetId")
	gateway := simtest.Text(must("create-internet-gateway"), "InternetGateway", "InternetGatewayId")
	must("attach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id", gateway)
	table := simtest.Text(must("describe-route-tables", "--filters", "Name=vpc-id,Values="+vpc), "RouteTables", 0, "RouteTableId")
	must("create-route", "--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0", "--gateway-id", gateway)
	group := simtest.Text(must("create-security-group", "--group-name", "shop", "--description", "of the shop", "--vpc-id", vpc), "GroupId")
	must("authorize-security-group-ingress", "--group-id", group, "--protocol", "udp", "--port", "51820", "--cidr", "0.0.0.0/0")
	run := []string{"run-instances", "--image-id", image, "--instance-type", "t3.small", "--count", "1",
		"--client-token", "token-1", "--user-data", "#!/bin/sh\necho 안녕\n",
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=web-0},{Key=cbnet-node,Value=웹}]",
		"--network-interfaces", "DeviceIndex=0,SubnetId=" + subnet + ",Groups=" + group + ",AssociatePublicIpAddress=true,PrivateIpAddress=10.0.1.10",
		"--metadata-options", "HttpTokens=required"}
	id := simtest.Text(must(run...), "Instances", 0, "InstanceId")
	refused("IdempotentParameterMismatch", append(slices.Clone(run), "--ebs-optimized")...)
	must("wait", "instance-running", "--instance-ids", id)

	found := simtest.Dig(must("describe-instances", "--filters", "Name=client-token,Values=token-1", "Name=tag:cbnet-node,Values=웹"), "Reservations", 0, "Instances", 0)
	if ip := simtest.Text(found, "PrivateIpAddress"); ip != "10.0.1.10" {
		t.Errorf("private address %s", ip)
	}
	if ip := simtest.Text(found, "PublicIpAddress"); !strings.HasPrefix(ip, "198.1") {
		t.Errorf("public address %q", ip)
	}
	data := simtest.Text(must("describe-instance-attribute", "--instance-id", id, "--attribute", "userData"), "UserData", "Value")
	if raw, err := base64.StdEncoding.DecodeString(data); err != nil || !strings.Contains(string(raw), "안녕") {
		t.Errorf("user data %q, %v", raw, err)
	}
	refused("DependencyViolation", "delete-vpc", "--vpc-id", vpc)
	must("terminate-instances", "--instance-ids", id)
	must("wait", "instance-terminated", "--instance-ids", id)
	must("delete-security-group", "--group-id", group)
	must("delete-subnet", "--subnet-id", subnet)
	must("detach-internet-gateway", "--vpc-id", vpc, "--internet-gateway-id", gateway)
	must("delete-internet-gateway", "--internet-gateway-id", gateway)
	must("delete-vpc", "--vpc-id", vpc)
	for _, o := range s.cloud.Inventory() {
		if o.State != "terminated" {
			t.Errorf("left over: %+v", o)
		}
	}
}
