package alibaba_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/cbnet-io/cbnet/cloud"
)

// client is the vendor's client, for what the driver does not tell.
func (s *site) client(t testing.TB) *ecs.Client {
	t.Helper()
	c, err := ecs.NewClientWithAccessKey(region, "LTAIEXAMPLE", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c.Domain = strings.TrimPrefix(s.url, "http://")
	return c
}

// TestGroup sees that a network opens what it is asked to open and nothing else,
// not between its machines either, also after somebody has changed that.
func TestGroup(t *testing.T) {
	t.Parallel()
	s := open(t)
	d, c := s.driver(t, nil), s.client(t)
	spec := networkSpec()
	spec.Open = append(spec.Open, cloud.Port{Protocol: "tcp", Number: 443}, cloud.Port{Protocol: "tcp", Number: 443})
	n := ensure(t, d, spec)
	check := func(when string) {
		t.Helper()
		req := ecs.CreateDescribeSecurityGroupAttributeRequest()
		req.SecurityGroupId = n.SecurityGroup
		resp, err := c.DescribeSecurityGroupAttribute(req)
		if err != nil {
			t.Fatal(err)
		}
		var rules []string
		for _, p := range resp.Permissions.Permission {
			rules = append(rules, strings.Join([]string{p.Direction, p.Policy, p.IpProtocol, p.PortRange, p.SourceCidrIp}, " "))
		}
		slices.Sort(rules)
		want := []string{"ingress Accept TCP 443/443 0.0.0.0/0", "ingress Accept UDP 51820/51820 0.0.0.0/0"}
		if resp.InnerAccessPolicy != "Drop" || !slices.Equal(rules, want) {
			t.Errorf("%s: policy %s, rules %q", when, resp.InnerAccessPolicy, rules)
		}
	}
	check("new")
	policy := ecs.CreateModifySecurityGroupPolicyRequest()
	policy.SecurityGroupId, policy.InnerAccessPolicy = n.SecurityGroup, "Accept"
	_, policyErr := c.ModifySecurityGroupPolicy(policy)
	rule := ecs.CreateAuthorizeSecurityGroupRequest()
	rule.SecurityGroupId = n.SecurityGroup
	rule.Permissions = &[]ecs.AuthorizeSecurityGroupPermissions{{IpProtocol: "ALL", PortRange: "-1/-1", SourceCidrIp: "10.0.0.0/8"}}
	_, ruleErr := c.AuthorizeSecurityGroup(rule)
	if policyErr != nil || ruleErr != nil {
		t.Fatal(policyErr, ruleErr)
	}
	ensure(t, d, spec)
	check("after somebody changed it")
	clearAll(t, d)
}
