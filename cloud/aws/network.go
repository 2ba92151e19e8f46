package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// EnsureNetwork implements cloud.Driver: VPC, internet gateway, subnet, default
// route, security group, rules, key pair. Each step looks for what is there, then
// creates what is missing with the mark on it.
func (d *Driver) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	if err := spec.Validate(); err != nil {
		return cloud.Network{}, err
	}
	fail := func(what string, err error) (cloud.Network, error) {
		return cloud.Network{}, fmt.Errorf("network %s in %s: %s: %w", spec.Name, spec.Region, what, d.in(ctx, spec.Region, err))
	}
	if spec.NAT {
		return fail("way out", fmt.Errorf("%w: this driver makes no NAT gateways on aws", cloud.ErrInvalid))
	}
	if err := cloud.CheckSSHKeyType(Provider, spec.SSHKey, keyTypes); err != nil {
		return fail("key pair", err)
	}
	n := network{c: d.client(spec.Region), spec: spec}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"VPC", n.ensureVPC},
		{"internet gateway", n.ensureGateway},
		{"subnet", n.ensureSubnet},
		{"route", n.ensureRoute},
		{"security group", n.ensureGroup},
		{"security group rules", n.ensureRules},
		{"key pair", n.ensureKey},
	} {
		if err := step.do(ctx); err != nil {
			return fail(step.what, err)
		}
	}
	return cloud.Network{ID: n.vpc, SubnetID: n.subnet, SecurityGroup: aws.ToString(n.group.GroupId), Key: n.key}, nil
}

// network is one EnsureNetwork under way.
type network struct {
	c    *ec2.Client
	spec cloud.NetworkSpec

	vpc     string
	gateway string
	subnet  string
	group   types.SecurityGroup
	key     string
}

// tags returns the mark and the name for an object of type kind.
func (n *network) tags(kind types.ResourceType) []types.TagSpecification {
	return tagSpec(n.spec.Owner.Tags(), n.spec.Name, kind)
}

// filters selects this network's objects by mark and name.
func (n *network) filters(more ...types.Filter) []types.Filter {
	return append(append(ownerFilters(n.spec.Owner), filter("tag:Name", n.spec.Name)), more...)
}

func (n *network) ensureVPC(ctx context.Context) error {
	have, err := n.c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: n.filters()})
	if err != nil {
		return wrap("DescribeVpcs", err)
	}
	if len(have.Vpcs) > 0 {
		vpc := first(have.Vpcs, func(v types.Vpc) *string { return v.VpcId })
		if got := aws.ToString(vpc.CidrBlock); got != n.spec.CIDR.String() {
			return fmt.Errorf("%w: %s has range %s, want %s", cloud.ErrConflict, aws.ToString(vpc.VpcId), got, n.spec.CIDR)
		}
		n.vpc = aws.ToString(vpc.VpcId)
		return nil
	}
	made, err := n.c.CreateVpc(ctx, &ec2.CreateVpcInput{
		CidrBlock:         aws.String(n.spec.CIDR.String()),
		TagSpecifications: n.tags(types.ResourceTypeVpc),
	})
	if err != nil {
		return wrap("CreateVpc", err)
	}
	if made.Vpc == nil || aws.ToString(made.Vpc.VpcId) == "" {
		return noID("CreateVpc")
	}
	n.vpc = *made.Vpc.VpcId
	return nil
}

func (n *network) ensureGateway(ctx context.Context) error {
	have, err := n.c.DescribeInternetGateways(ctx, &ec2.DescribeInternetGatewaysInput{Filters: n.filters()})
	if err != nil {
		return wrap("DescribeInternetGateways", err)
	}
	var gw types.InternetGateway
	if len(have.InternetGateways) > 0 {
		gw = first(have.InternetGateways, func(g types.InternetGateway) *string { return g.InternetGatewayId })
	} else {
		made, err := n.c.CreateInternetGateway(ctx, &ec2.CreateInternetGatewayInput{
			TagSpecifications: n.tags(types.ResourceTypeInternetGateway),
		})
		if err != nil {
			return wrap("CreateInternetGateway", err)
		}
		if made.InternetGateway == nil || aws.ToString(made.InternetGateway.InternetGatewayId) == "" {
			return noID("CreateInternetGateway")
		}
		gw = *made.InternetGateway
	}
	n.gateway = aws.ToString(gw.InternetGatewayId)
	if slices.ContainsFunc(gw.Attachments, func(a types.InternetGatewayAttachment) bool { return aws.ToString(a.VpcId) == n.vpc }) {
		return nil
	}
	_, err = n.c.AttachInternetGateway(ctx, &ec2.AttachInternetGatewayInput{
		InternetGatewayId: aws.String(n.gateway), VpcId: aws.String(n.vpc),
	})
	if err = wrap("AttachInternetGateway", err); already(err, "Resource.AlreadyAssociated") {
		// The look-up did not show it: attached to this VPC a moment ago, since
		// nothing else knows this gateway.
		return nil
	}
	return notYet(err)
}

func (n *network) ensureSubnet(ctx context.Context) error {
	have, err := n.c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: n.filters(filter("vpc-id", n.vpc))})
	if err != nil {
		return wrap("DescribeSubnets", err)
	}
	if len(have.Subnets) > 0 {
		n.subnet = aws.ToString(first(have.Subnets, func(s types.Subnet) *string { return s.SubnetId }).SubnetId)
		return nil
	}
	made, err := n.c.CreateSubnet(ctx, &ec2.CreateSubnetInput{
		VpcId: aws.String(n.vpc), CidrBlock: aws.String(n.spec.CIDR.String()),
		TagSpecifications: n.tags(types.ResourceTypeSubnet),
	})
	if err != nil {
		return hidden(notYet(wrap("CreateSubnet", err)), "InvalidSubnet.Conflict")
	}
	if made.Subnet == nil || aws.ToString(made.Subnet.SubnetId) == "" {
		return noID("CreateSubnet")
	}
	n.subnet = *made.Subnet.SubnetId
	return nil
}

// ensureRoute sends all that leaves the VPC through the gateway, in the main
// route table: it comes and goes with the VPC.
func (n *network) ensureRoute(ctx context.Context) error {
	have, err := n.c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{
		Filters: []types.Filter{filter("vpc-id", n.vpc), filter("association.main", "true")},
	})
	if err != nil {
		return wrap("DescribeRouteTables", err)
	}
	if len(have.RouteTables) == 0 {
		return fmt.Errorf("%w: VPC %s shows no main route table yet", cloud.ErrUnavailable, n.vpc)
	}
	table := have.RouteTables[0]
	for _, r := range table.Routes {
		if aws.ToString(r.DestinationCidrBlock) != anywhere {
			continue
		}
		if aws.ToString(r.GatewayId) == n.gateway {
			return nil
		}
		_, err := n.c.ReplaceRoute(ctx, &ec2.ReplaceRouteInput{
			RouteTableId: table.RouteTableId, DestinationCidrBlock: aws.String(anywhere), GatewayId: aws.String(n.gateway),
		})
		return notYet(wrap("ReplaceRoute", err))
	}
	_, err = n.c.CreateRoute(ctx, &ec2.CreateRouteInput{
		RouteTableId: table.RouteTableId, DestinationCidrBlock: aws.String(anywhere), GatewayId: aws.String(n.gateway),
	})
	return hidden(notYet(wrap("CreateRoute", err)), "RouteAlreadyExists")
}

func (n *network) ensureGroup(ctx context.Context) error {
	have, err := n.c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{
		Filters: []types.Filter{filter("vpc-id", n.vpc), filter("group-name", n.spec.Name)},
	})
	if err != nil {
		return wrap("DescribeSecurityGroups", err)
	}
	if len(have.SecurityGroups) > 0 {
		n.group = have.SecurityGroups[0] // a VPC has one of a name
		if cloud.OwnerOf(tagMap(n.group.Tags)) != n.spec.Owner {
			return fmt.Errorf("%w: %s has the name and not the mark", cloud.ErrConflict, aws.ToString(n.group.GroupId))
		}
		return nil
	}
	made, err := n.c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: aws.String(n.vpc), GroupName: aws.String(n.spec.Name),
		Description:       aws.String(n.spec.Owner.Description()),
		TagSpecifications: n.tags(types.ResourceTypeSecurityGroup),
	})
	if err != nil {
		return hidden(notYet(wrap("CreateSecurityGroup", err)), "InvalidGroup.Duplicate")
	}
	if aws.ToString(made.GroupId) == "" {
		return noID("CreateSecurityGroup")
	}
	n.group = types.SecurityGroup{GroupId: made.GroupId}
	return nil
}

// ensureRules makes the group's ingress rules exactly spec.Open.
func (n *network) ensureRules(ctx context.Context) error {
	want := make([]string, 0, len(n.spec.Open))
	for _, p := range n.spec.Open {
		want = append(want, ruleKey(permission(p)))
	}
	var have []string
	var surplus, missing []types.IpPermission
	for _, p := range n.group.IpPermissions {
		have = append(have, ruleKey(p))
		if !slices.Contains(want, ruleKey(p)) {
			surplus = append(surplus, p)
		}
	}
	for _, p := range n.spec.Open {
		if p := permission(p); !slices.Contains(have, ruleKey(p)) {
			missing = append(missing, p)
			have = append(have, ruleKey(p))
		}
	}
	if len(surplus) > 0 {
		_, err := n.c.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: n.group.GroupId, IpPermissions: surplus})
		if err := wrap("RevokeSecurityGroupIngress", err); err != nil && !errors.Is(err, cloud.ErrNotFound) {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err := n.c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: n.group.GroupId, IpPermissions: missing})
	return hidden(notYet(wrap("AuthorizeSecurityGroupIngress", err)), "InvalidPermission.Duplicate")
}

// noID is the error of a create that succeeded and does not say what it made:
// the next try will find it.
func noID(op string) error {
	return fmt.Errorf("%w: the answer to %s names nothing", cloud.ErrUnavailable, op)
}

// anywhere is every IPv4 address.
const anywhere = "0.0.0.0/0"

func permission(p cloud.Port) types.IpPermission {
	return types.IpPermission{
		IpProtocol: aws.String(p.Protocol),
		FromPort:   aws.Int32(int32(p.Number)),
		ToPort:     aws.Int32(int32(p.Number)),
		IpRanges:   []types.IpRange{{CidrIp: aws.String(anywhere)}},
	}
}

// ruleKey tells rules apart. EC2 merges the sources of one port, so a rule
// with other sources than everyone has another key than the wanted one.
func ruleKey(p types.IpPermission) string {
	var sources []string
	for _, r := range p.IpRanges {
		sources = append(sources, aws.ToString(r.CidrIp))
	}
	for _, r := range p.Ipv6Ranges {
		sources = append(sources, aws.ToString(r.CidrIpv6))
	}
	for _, g := range p.UserIdGroupPairs {
		sources = append(sources, aws.ToString(g.GroupId))
	}
	for _, l := range p.PrefixListIds {
		sources = append(sources, aws.ToString(l.PrefixListId))
	}
	slices.Sort(sources)
	return fmt.Sprint(aws.ToString(p.IpProtocol), aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort), sources)
}

// hidden handles the refusal of something that no look-up shows yet: inside a
// VPC of ours it can only be what an earlier try made.
func hidden(err error, code string) error {
	if already(err, code) {
		return fmt.Errorf("%w: made before and not visible yet: %w", cloud.ErrUnavailable, err)
	}
	return err
}

// first returns the item with the smallest id: the same one on every try, if a
// look-up that lagged behind ever led to two.
func first[T any](items []T, id func(T) *string) T {
	return slices.MinFunc(items, func(a, b T) int {
		return cmp.Compare(aws.ToString(id(a)), aws.ToString(id(b)))
	})
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
