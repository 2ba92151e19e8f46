package alibaba_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/alibaba"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

// TestNetworks takes VPCs, VSwitches and security groups through what the
// vendor documents: states, ranges, dependencies, asynchronous deletion.
func TestNetworks(t *testing.T) {
	s := open(t, func(o *alibaba.Options) { o.Settle = 100 * time.Millisecond })
	for _, cidr := range []string{"100.64.0.0/16", "10.0.0.0/29", "10.0.0.1/16", "0.0.0.0/4", "::/16", "x"} {
		s.refused(t, "InvalidCidrBlock", "vpc", "CreateVpc", p{"CidrBlock": cidr})
	}
	vpc := simtest.Text(s.do(t, "vpc", "CreateVpc", p{"CidrBlock": "10.0.0.0/16", "VpcName": "v", "Tag.1.Key": "k", "Tag.1.Value": "v"}), "VpcId")
	sw := p{"VpcId": vpc, "ZoneId": zone, "CidrBlock": "10.0.1.0/24"}
	s.refused(t, "IncorrectVpcStatus", "vpc", "CreateVSwitch", sw)
	s.refused(t, "IncorrectVpcStatus", "vpc", "DeleteVpc", p{"VpcId": vpc})
	s.settled(t, "DescribeVpcs", p{"VpcId": vpc}, "Vpcs", "Vpc")
	for _, c := range []struct {
		key, value, want string
	}{
		{"ZoneId", "ap-northeast-2z", "InvalidZoneId.NotFound"}, {"CidrBlock", "10.1.1.0/24", "InvalidCidrBlock.Malformed"},
		{"CidrBlock", "10.0.1.0/30", "InvalidCidrBlock.Malformed"}, {"VpcId", "vpc-none", "InvalidVpcId.NotFound"},
		{"Tag.1.Key", "aliyun-x", "InvalidTagKey.Malformed"}, {"Description", "http://x", "InvalidDescription.Malformed"},
		{"NetworkAcl", "x", "UnsupportedParameter"}, {"ZoneId", "", "MissingParameter"},
	} {
		params := p{"VpcId": vpc, "ZoneId": zone, "CidrBlock": "10.0.1.0/24"}
		params[c.key] = c.value
		s.refused(t, c.want, "vpc", "CreateVSwitch", params)
	}
	vswitch := simtest.Text(s.do(t, "vpc", "CreateVSwitch", sw), "VSwitchId")
	s.refused(t, "InvalidCidrBlock.Overlapped", "vpc", "CreateVSwitch", p{"VpcId": vpc, "ZoneId": zone, "CidrBlock": "10.0.1.128/25"})
	s.refused(t, "IncorrectVSwitchStatus", "vpc", "DeleteVSwitch", p{"VSwitchId": vswitch})
	s.settled(t, "DescribeVSwitches", p{"VSwitchId": vswitch}, "VSwitches", "VSwitch")
	group := simtest.Text(s.do(t, "ecs", "CreateSecurityGroup", p{"VpcId": vpc, "SecurityGroupName": "gg"}), "SecurityGroupId")
	s.refused(t, "InvalidSecurityGroupName.Malformed", "ecs", "CreateSecurityGroup", p{"VpcId": vpc, "SecurityGroupName": "7g"})
	s.refused(t, "DependencyViolation.VSwitch", "vpc", "DeleteVpc", p{"VpcId": vpc})
	s.do(t, "vpc", "DeleteVSwitch", p{"VSwitchId": vswitch})
	if got := simtest.Text(s.do(t, "vpc", "DescribeVSwitches", p{"VSwitchId": vswitch}), "VSwitches", "VSwitch", 0, "Status"); got != "Pending" {
		t.Errorf("a VSwitch that is being deleted is %q", got)
	}
	simtest.Within(t, 5*time.Second, func() (bool, string) {
		out := s.do(t, "vpc", "DescribeVSwitches", p{"VSwitchId": vswitch})
		return simtest.Dig(out, "TotalCount") == float64(0), fmt.Sprint(out)
	})
	s.refused(t, "DependencyViolation.SecurityGroup", "vpc", "DeleteVpc", p{"VpcId": vpc})
	s.do(t, "ecs", "DeleteSecurityGroup", p{"SecurityGroupId": group})
	s.refused(t, "InvalidSecurityGroupId.NotFound", "ecs", "DeleteSecurityGroup", p{"SecurityGroupId": group})
	s.do(t, "vpc", "DeleteVpc", p{"VpcId": vpc})
	s.refused(t, "IncorrectVpcStatus", "vpc", "DeleteVpc", p{"VpcId": vpc})
	if got := simtest.Text(s.do(t, "vpc", "DescribeVpcs", p{"VpcId": vpc}), "Vpcs", "Vpc", 0, "Status"); got != "Deleting" {
		t.Errorf("a VPC that is being deleted is %q", got)
	}
	simtest.Within(t, 5*time.Second, func() (bool, string) { return len(s.cloud.Inventory()) == 0, fmt.Sprint(s.cloud.Inventory()) })
}

// TestRules adds and removes rules in the ways there are.
func TestRules(t *testing.T) {
	s := open(t)
	l := s.newLand(t)
	rules := func() (all []string) {
		list, _ := simtest.Dig(s.do(t, "ecs", "DescribeSecurityGroupAttribute", p{"SecurityGroupId": l.group}), "Permissions", "Permission").([]any)
		for _, r := range list {
			all = append(all, simtest.Text(r, "IpProtocol")+" "+simtest.Text(r, "PortRange")+" "+simtest.Text(r, "SourceCidrIp"))
		}
		return all
	}
	in := func(more p) p {
		params := p{"SecurityGroupId": l.group}
		for k, v := range more {
			params[k] = v
		}
		return params
	}
	two := in(p{"Permissions.1.IpProtocol": "udp", "Permissions.1.PortRange": "51820/51820", "Permissions.1.SourceCidrIp": "0.0.0.0/0",
		"Permissions.2.IpProtocol": "TCP", "Permissions.2.PortRange": "80/90", "Permissions.2.SourceCidrIp": "198.18.0.1"})
	s.do(t, "ecs", "AuthorizeSecurityGroup", two)
	s.do(t, "ecs", "AuthorizeSecurityGroup", two) // again is no error
	s.do(t, "ecs", "AuthorizeSecurityGroup", in(p{"IpProtocol": "all", "PortRange": "-1/-1", "SourceGroupId": l.group}))
	if got := rules(); len(got) != 3 {
		t.Errorf("rules: %q", got)
	}
	s.do(t, "ecs", "RevokeSecurityGroup", two)
	s.do(t, "ecs", "RevokeSecurityGroup", two)
	if got := rules(); len(got) != 1 || got[0] != "ALL -1/-1 " {
		t.Errorf("rules: %q", got)
	}
	for want, more := range map[string]p{
		"InvalidIpProtocol.ValueNotSupported": {"IpProtocol": "sctp", "PortRange": "1/1", "SourceCidrIp": "0.0.0.0/0"},
		"InvalidPortRange.Malformed":          {"IpProtocol": "tcp", "PortRange": "80", "SourceCidrIp": "0.0.0.0/0"},
		"InvalidSourceCidrIp.Malformed":       {"IpProtocol": "tcp", "PortRange": "80/80"},
		"InvalidSourceGroupId.NotFound":       {"IpProtocol": "tcp", "PortRange": "80/80", "SourceGroupId": "sg-none"},
		"UnsupportedParameter":                {"IpProtocol": "tcp", "PortRange": "80/80", "SourceCidrIp": "0.0.0.0/0", "Policy": "drop"},
		"MissingParameter":                    {},
	} {
		s.refused(t, want, "ecs", "AuthorizeSecurityGroup", in(more))
	}
	s.refused(t, "InvalidParameter.InnerAccessPolicy", "ecs", "ModifySecurityGroupPolicy", in(p{"InnerAccessPolicy": "maybe"}))
}

// TestMembers lets members of a group reach each other, until the group keeps
// them apart.
func TestMembers(t *testing.T) {
	s := open(t)
	l := s.newLand(t)
	a, b := s.run(t, l.order(p{"PrivateIpAddress": "10.0.1.10"})), s.run(t, l.order(p{"PrivateIpAddress": "10.0.1.11"}))
	print := func(id string) string {
		var out []string
		for _, r := range s.cloud.Rules(region, id) {
			out = append(out, fmt.Sprintf("%v %s %d %s", r.Ingress, r.Protocol, r.FromPort, r.CIDR))
		}
		return strings.Join(out, ", ")
	}
	together := "false  0 invalid Prefix, true  0 10.0.1.10/32, true  0 10.0.1.11/32"
	if print(a) != together || print(b) != together {
		t.Errorf("as members: %s; %s", print(a), print(b))
	}
	s.do(t, "ecs", "ModifySecurityGroupPolicy", p{"SecurityGroupId": l.group, "InnerAccessPolicy": "drop"})
	s.do(t, "ecs", "AuthorizeSecurityGroup", p{"SecurityGroupId": l.group, "IpProtocol": "udp", "PortRange": "51820/51820", "SourceCidrIp": "0.0.0.0/0"})
	if got, want := print(a), "false  0 invalid Prefix, true udp 51820 0.0.0.0/0"; got != want {
		t.Errorf("apart: got %s, want %s", got, want)
	}
	s.becomes(t, b, "Running")
	s.do(t, "ecs", "ModifySecurityGroupPolicy", p{"SecurityGroupId": l.group, "InnerAccessPolicy": "accept"})
	s.do(t, "ecs", "DeleteInstance", p{"InstanceId": b, "Force": "true"})
	s.becomes(t, b, "")
	if got, want := print(a), "false  0 invalid Prefix, true udp 51820 0.0.0.0/0, true  0 10.0.1.10/32"; got != want {
		t.Errorf("alone: got %s, want %s", got, want)
	}
}

// TestLaunch is what a launch is refused for, and that it holds what it uses.
func TestLaunch(t *testing.T) {
	s := open(t)
	l := s.newLand(t)
	other := s.newLand(t)
	id := s.run(t, l.order(p{"PrivateIpAddress": "10.0.1.9", "InternetMaxBandwidthOut": "5"}))
	s.refused(t, "IncorrectInstanceStatus.Initializing", "ecs", "DeleteInstance", p{"InstanceId": id, "Force": "true"})
	for _, c := range []struct {
		want string
		more p
	}{
		{"InvalidImageId.NotFound", p{"ImageId": "debian"}},
		{"InvalidInstanceType.ValueNotSupported", p{"InstanceType": "ecs.x9.huge"}},
		{"InvalidParameter.Mismatch", p{"InstanceType": "ecs.g8y.large"}},
		{"InvalidVSwitchId.NotFound", p{"VSwitchId": "vsw-none"}},
		{"InvalidSecurityGroupId.NotFound", p{"SecurityGroupId": "sg-none"}},
		{"InvalidParameter.Mismatch", p{"SecurityGroupId": other.group}},
		{"InvalidParameter.Mismatch", p{"ZoneId": "ap-northeast-2a"}},
		{"InvalidPrivateIpAddress.Duplicated", p{"PrivateIpAddress": "10.0.1.9"}},
		{"InvalidPrivateIpAddress.Malformed", p{"PrivateIpAddress": "10.0.1.253"}},
		{"InvalidPrivateIpAddress.Malformed", p{"PrivateIpAddress": "10.0.2.9"}},
		{"InvalidKeyPair.NotFound", p{"KeyPairName": "none"}},
		{"InvalidUserData.Base64FormatInvalid", p{"UserData": "%"}},
		{"InvalidUserData.SizeExceeded", p{"UserData": base64.StdEncoding.EncodeToString(make([]byte, 32<<10+1))}},
		{"InvalidHostName.Malformed", p{"HostName": "x"}},
		{"InvalidInstanceName.Malformed", p{"InstanceName": "7"}},
		{"InvalidInternetMaxBandwidthOut.ValueNotSupported", p{"InternetMaxBandwidthOut": "101"}},
		{"InvalidSystemDiskCategory.ValueNotSupported", p{"SystemDisk.Category": "floppy"}},
		{"InvalidParameter.Amount", p{"Amount": "0"}},
		{"InvalidParameter.MetadataOptions", p{"HttpTokens": "maybe"}},
		{"InvalidClientToken", p{"ClientToken": strings.Repeat("x", 65)}},
		{"UnsupportedParameter", p{"DataDisk.1.Size": "20"}},
		{"MissingParameter", p{"ImageId": ""}},
	} {
		s.refused(t, c.want, "ecs", "RunInstances", l.order(c.more))
	}
	big := s.run(t, l.order(p{"UserData": base64.StdEncoding.EncodeToString(make([]byte, 32<<10))}))
	s.becomes(t, id, "Running")
	s.becomes(t, big, "Running")
	for _, c := range []struct{ want, product, action, param, value string }{
		{"DependencyViolation", "vpc", "DeleteVSwitch", "VSwitchId", l.vswitch},
		{"DependencyViolation", "ecs", "DeleteSecurityGroup", "SecurityGroupId", l.group},
		{"DependencyViolation.VSwitch", "vpc", "DeleteVpc", "VpcId", l.vpc},
		{"IncorrectInstanceStatus", "ecs", "DeleteInstance", "InstanceId", id}, // without force
		{"IncorrectInstanceStatus", "ecs", "StartInstance", "InstanceId", id},
		{"InvalidInstanceId.NotFound", "ecs", "StopInstance", "InstanceId", "i-none"},
	} {
		s.refused(t, c.want, c.product, c.action, p{c.param: c.value})
	}
	if public := simtest.Text(s.instance(t, id), "PublicIpAddress", "IpAddress", 0); public == "" {
		t.Error("no public address")
	}
	s.do(t, "ecs", "StopInstance", p{"InstanceId": id})
	s.becomes(t, id, "Stopped")
	s.do(t, "ecs", "DeleteInstance", p{"InstanceId": id})
	s.do(t, "ecs", "DeleteInstance", p{"InstanceId": big, "Force": "true"})
	s.becomes(t, id, "")
	s.becomes(t, big, "")
	again := s.run(t, l.order(p{"PrivateIpAddress": "10.0.1.9"})) // the address is free
	s.becomes(t, again, "Running")
}

// TestTokens is what a client token stands for.
func TestTokens(t *testing.T) {
	now := time.Now()
	s := open(t, func(o *alibaba.Options) {
		o.Processing = time.Minute
		o.Now = func() time.Time { return now }
	})
	one := p{"CidrBlock": "10.0.0.0/16", "ClientToken": "token"}
	first := simtest.Text(s.do(t, "vpc", "CreateVpc", one), "VpcId")
	s.refused(t, "IdempotentProcessing", "vpc", "CreateVpc", one)
	s.refused(t, "IdempotentParameterMismatch", "vpc", "CreateVpc", p{"CidrBlock": "10.1.0.0/16", "ClientToken": "token"})
	now = now.Add(time.Minute)
	if again := simtest.Text(s.do(t, "vpc", "CreateVpc", one), "VpcId"); again != first {
		t.Errorf("the token gave %s and then %s", first, again)
	}
	s.do(t, "vpc", "DeleteVpc", p{"VpcId": first})
	now = now.Add(time.Minute)
	if again := simtest.Text(s.do(t, "vpc", "CreateVpc", one), "VpcId"); again != first || len(s.cloud.Inventory()) != 0 {
		t.Errorf("the token of the deleted %s gave %s; inventory %v", first, again, s.cloud.Inventory())
	}
}

// TestPages turns the pages of both kinds.
func TestPages(t *testing.T) {
	s := open(t)
	for range 12 {
		s.do(t, "vpc", "CreateVpc", p{"CidrBlock": "10.0.0.0/16"})
	}
	for page, want := range map[string]int{"1": 5, "3": 2, "4": 0} {
		out := s.do(t, "vpc", "DescribeVpcs", p{"PageNumber": page, "PageSize": "5"})
		if list, _ := simtest.Dig(out, "Vpcs", "Vpc").([]any); len(list) != want || simtest.Dig(out, "TotalCount") != float64(12) {
			t.Errorf("page %s: %d of %v", page, len(list), simtest.Dig(out, "TotalCount"))
		}
	}
	s.refused(t, "InvalidParameter.PageSize", "vpc", "DescribeVpcs", p{"PageSize": "51"})
	seen, next := 0, ""
	for turns := 0; ; turns++ {
		out := s.do(t, "ecs", "DescribeInstanceTypes", p{"MaxResults": "10", "NextToken": next})
		list, _ := simtest.Dig(out, "InstanceTypes", "InstanceType").([]any)
		seen += len(list)
		if next = simtest.Text(out, "NextToken"); next == "" || turns > 20 {
			break
		}
	}
	if seen != 42 {
		t.Errorf("%d instance types, want 42", seen)
	}
}

// TestCatalog is what there is to choose from.
func TestCatalog(t *testing.T) {
	s := open(t)
	if list, _ := simtest.Dig(s.do(t, "ecs", "DescribeRegions", nil), "Regions", "Region").([]any); len(list) != 32 {
		t.Errorf("%d regions", len(list))
	}
	for region, zones := range alibaba.Places() {
		if len(zones) == 0 || !strings.HasPrefix(zones[0], region) {
			t.Errorf("%s: zones %v", region, zones)
		}
	}
	if z := alibaba.Places()["ap-northeast-2"]; strings.Join(z, " ") != "ap-northeast-2a ap-northeast-2b" {
		t.Errorf("zones of Seoul: %v", z)
	}
	if z := alibaba.Places()["cn-hongkong"]; strings.Join(z, " ") != "cn-hongkong-b cn-hongkong-c cn-hongkong-d" {
		t.Errorf("zones of Hong Kong: %v", z)
	}
	s.refused(t, "InvalidRegionId.NotFound", "ecs", "DescribeZones", p{"RegionId": "moon-1"})
	s.refused(t, "InvalidAction.NotFound", "ecs", "CreateVpc", nil)
	s.refused(t, "UnsupportedParameter", "ecs", "DescribeRegions", p{"DryRun": "true"})
}
