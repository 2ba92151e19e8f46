package alibaba

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
)

// anywhere is every IPv4 address.
const anywhere = "0.0.0.0/0"

// apart is the policy of a security group whose members reach each other by its
// rules alone. The default one lets everything pass between them.
const apart = "Drop"

func (n *network) ensureGroup(ctx context.Context) error {
	list, err := n.d.groups(ctx, n.spec.Region, ownerTags(n.spec.Owner), n.vpc, "")
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(g ecs.SecurityGroup) bool { return ourName(g.SecurityGroupName) != n.spec.Name })
	if len(list) > 0 {
		n.group = first(list, func(g ecs.SecurityGroup) string { return g.SecurityGroupId }).SecurityGroupId
		return nil
	}
	n.group, err = n.create(ctx, func(token string) (string, error) {
		req, resp := ecs.CreateCreateSecurityGroupRequest(), ecs.CreateCreateSecurityGroupResponse()
		req.VpcId, req.SecurityGroupName, req.ClientToken = n.vpc, vendorName(n.spec.Name), token
		req.Description = n.spec.Owner.Description()
		req.Tag = repeated(n.spec.Owner.Tags(), func(k, v string) ecs.CreateSecurityGroupTag {
			return ecs.CreateSecurityGroupTag{Key: k, Value: v}
		})
		err := n.d.call(ctx, n.spec.Region, req, resp)
		return resp.SecurityGroupId, err
	}, n.groupStatus, "group", n.vpc, n.spec.Name)
	return err
}

// groupStatus tells whether a security group is visible: it has no states.
func (n *network) groupStatus(ctx context.Context, id string) (string, error) {
	list, err := n.d.groups(ctx, n.spec.Region, nil, "", id)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return available, nil
}

// ensureRules keeps the group's members apart and makes its ingress rules
// exactly spec.Open.
func (n *network) ensureRules(ctx context.Context) error {
	policy, have, err := n.rules(ctx)
	if err != nil {
		return notYet(err)
	}
	if !strings.EqualFold(policy, apart) {
		req := ecs.CreateModifySecurityGroupPolicyRequest()
		req.SecurityGroupId, req.InnerAccessPolicy = n.group, apart
		if err := n.d.call(ctx, n.spec.Region, req, ecs.CreateModifySecurityGroupPolicyResponse()); err != nil {
			return notYet(err)
		}
	}
	wanted := map[string]bool{}
	var missing []ecs.AuthorizeSecurityGroupPermissions
	for _, p := range n.spec.Open {
		wish := rule{protocol: p.Protocol, ports: fmt.Sprintf("%d/%d", p.Number, p.Number), source: anywhere, accept: true}
		if !wanted[wish.key()] && !slices.ContainsFunc(have, func(r rule) bool { return r.key() == wish.key() }) {
			missing = append(missing, wish.permission())
		}
		wanted[wish.key()] = true
	}
	var surplus []string
	for _, r := range have {
		if !wanted[r.key()] {
			surplus = append(surplus, r.id)
		}
	}
	if len(surplus) > 0 {
		req := ecs.CreateRevokeSecurityGroupRequest()
		req.SecurityGroupId, req.SecurityGroupRuleId = n.group, &surplus
		if err := n.d.call(ctx, n.spec.Region, req, ecs.CreateRevokeSecurityGroupResponse()); err != nil {
			return notYet(err)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	// A rule that exists is no error, so that this call needs no token.
	req := ecs.CreateAuthorizeSecurityGroupRequest()
	req.SecurityGroupId, req.Permissions = n.group, &missing
	return notYet(n.d.call(ctx, n.spec.Region, req, ecs.CreateAuthorizeSecurityGroupResponse()))
}

// rules returns the group's policy and its ingress rules.
func (n *network) rules(ctx context.Context) (policy string, have []rule, err error) {
	req := ecs.CreateDescribeSecurityGroupAttributeRequest()
	req.SecurityGroupId, req.Direction = n.group, "ingress"
	for {
		resp := ecs.CreateDescribeSecurityGroupAttributeResponse()
		if err := n.d.call(ctx, n.spec.Region, req, resp); err != nil {
			return "", nil, err
		}
		for _, p := range resp.Permissions.Permission {
			source := p.SourceCidrIp
			for _, other := range []string{p.Ipv6SourceCidrIp, p.SourceGroupId, p.SourcePrefixListId} {
				if other != "" {
					source += " " + other
				}
			}
			have = append(have, rule{
				id: p.SecurityGroupRuleId, protocol: p.IpProtocol, ports: p.PortRange, source: source,
				accept: strings.EqualFold(p.Policy, "Accept"),
			})
		}
		if resp.NextToken == "" {
			return resp.InnerAccessPolicy, have, nil
		}
		req = ecs.CreateDescribeSecurityGroupAttributeRequest()
		req.SecurityGroupId, req.Direction, req.NextToken = n.group, "ingress", resp.NextToken
	}
}

// rule is an ingress rule of a security group.
type rule struct {
	id       string
	protocol string
	ports    string // FROM/TO
	source   string
	accept   bool
}

// key tells rules apart. ECS writes protocols in capitals.
func (r rule) key() string {
	return fmt.Sprint(strings.ToLower(r.protocol), " ", r.ports, " ", r.source, " ", r.accept)
}

func (r rule) permission() ecs.AuthorizeSecurityGroupPermissions {
	return ecs.AuthorizeSecurityGroupPermissions{
		IpProtocol: strings.ToUpper(r.protocol), PortRange: r.ports, SourceCidrIp: r.source, Policy: "accept",
	}
}

// groups lists security groups by tags, VPC or id.
func (d *Driver) groups(ctx context.Context, region string, tags map[string]string, vpcID, id string) ([]ecs.SecurityGroup, error) {
	var out []ecs.SecurityGroup
	for next := ""; ; {
		req, resp := ecs.CreateDescribeSecurityGroupsRequest(), ecs.CreateDescribeSecurityGroupsResponse()
		req.VpcId, req.SecurityGroupId, req.MaxResults, req.NextToken = vpcID, id, pageSize(100), next
		if tags != nil {
			req.Tag = repeated(tags, func(k, v string) ecs.DescribeSecurityGroupsTag {
				return ecs.DescribeSecurityGroupsTag{Key: k, Value: v}
			})
		}
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, err
		}
		out = append(out, resp.SecurityGroups.SecurityGroup...)
		if next = resp.NextToken; next == "" {
			return out, nil
		}
	}
}
