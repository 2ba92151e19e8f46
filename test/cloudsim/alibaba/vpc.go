package alibaba

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// States of VPCs and VSwitches.
const (
	pending   = "Pending"
	available = "Available"
	deleting  = "Deleting"
)

// forbidden are the ranges that no VPC may have.
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
}

// vpc is a virtual private cloud.
type vpc struct {
	id, name, description string
	cidr                  netip.Prefix
	tags                  map[string]string
	made                  time.Time
	going                 time.Time // when its deletion began; zero while it stays
	wired                 bool      // the fabric has it
}

// state is where a VPC is in its life.
func (c *call) state(made, going time.Time, leaving string) string {
	switch {
	case !going.IsZero():
		return leaving
	case c.now().Sub(made) < c.opts.Settle:
		return pending
	}
	return available
}

func (c *call) vpcState(v *vpc) string { return c.state(v.made, v.going, deleting) }

// settleNetworks removes what has been deleted for long enough.
func (c *call) settleNetworks() {
	gone := func(t time.Time) bool { return !t.IsZero() && c.now().Sub(t) >= c.opts.Settle }
	for _, s := range c.r.vswitches.All() {
		if gone(s.going) {
			c.r.vswitches.Delete(s.id)
		}
	}
	for _, v := range c.r.vpcs.All() {
		if !gone(v.going) {
			continue
		}
		if v.wired {
			if err := c.opts.Fabric.RemoveNetwork(context.WithoutCancel(c.ctx), v.id); err != nil {
				c.opts.Log.Error("network not removed", "vpc", v.id, "err", err)
				continue
			}
		}
		c.r.vpcs.Delete(v.id)
	}
}

func createVpc(c *call) (obj, error) {
	n, d, tags, err := c.q.labelled("VpcName", 1)
	if err != nil {
		return nil, err
	}
	text := c.q.str("CidrBlock")
	if text == "" {
		text = "172.16.0.0/12"
	}
	cidr, err := netip.ParsePrefix(text)
	if err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 8 || cidr.Bits() > 28 ||
		slices.ContainsFunc(forbidden, cidr.Overlaps) {
		return nil, fault(400, "InvalidCidrBlock", "The specified CIDR block is not valid: %.60q.", text)
	}
	if limit, ok := c.opts.Faults.Quota(Name, c.r.region, "network"); ok && c.r.vpcs.Len() >= limit {
		return nil, fault(400, "QuotaExceeded.Vpc", "VPC quota exceeded.")
	}
	v := &vpc{id: newID("vpc-"), name: n, description: d, cidr: cidr, tags: tags, made: c.now()}
	c.r.vpcs.Put(v.id, v)
	return obj{"VpcId": v.id, "VRouterId": newID("vrt-"), "RouteTableId": newID("vtb-"), "ResourceGroupId": "rg-default"}, nil
}

func describeVpcs(c *call) (obj, error) {
	ids := c.q.str("VpcId")
	rows := c.r.vpcs.Where(func(v *vpc) bool {
		return c.visible(v.made) && (ids == "" || slices.Contains(strings.Split(ids, ","), v.id)) &&
			(c.q.str("VpcName") == "" || v.name == c.q.str("VpcName")) && c.q.str("IsDefault") != "true" && c.q.matches(v.tags)
	})
	rows, out, err := page(c.q, rows, 50, 10)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, v := range rows {
		switches := []string{}
		for _, s := range c.r.vswitches.All() {
			if s.vpc == v.id {
				switches = append(switches, s.id)
			}
		}
		list = append(list, obj{
			"VpcId": v.id, "VpcName": v.name, "Description": v.description, "CidrBlock": v.cidr.String(), "RegionId": c.r.region,
			"Status": c.vpcState(v), "CreationTime": second(v.made), "IsDefault": false, "OwnerId": 1234567890123456,
			"VSwitchIds": obj{"VSwitchId": switches}, "Tags": vpcTags(v.tags),
		})
	}
	out["Vpcs"] = obj{"Vpc": list}
	return out, nil
}

// vpc returns the VPC that a parameter names. One that was made a moment ago is
// found here, unlike in listings.
func (c *call) vpc(id string) (*vpc, error) {
	v, ok := c.r.vpcs.Get(id)
	if !ok {
		return nil, fault(404, "InvalidVpcId.NotFound", "Specified VPC does not exist.")
	}
	return v, nil
}

func deleteVpc(c *call) (obj, error) {
	v, err := c.vpc(c.q.str("VpcId"))
	if err != nil {
		return nil, err
	}
	switch {
	case c.r.vswitches.Any(func(s *vswitch) bool { return s.vpc == v.id }):
		return nil, fault(400, "DependencyViolation.VSwitch", "Specified object has dependent resources.")
	case c.r.groups.Any(func(g *group) bool { return g.vpc == v.id }):
		return nil, fault(400, "DependencyViolation.SecurityGroup", "Specified object has dependent resources.")
	case c.vpcState(v) != available:
		return nil, fault(400, "IncorrectVpcStatus", "Current VPC status does not support this operation.")
	}
	v.going = c.now()
	return obj{}, nil
}
