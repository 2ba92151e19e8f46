package aws

import "slices"

// modifySecurityGroupRules replaces rules of a group, by their ids.
func modifySecurityGroupRules(c *call) (any, error) {
	id, err := c.q.need("GroupId")
	if err != nil {
		return nil, err
	}
	g, ok := c.r.groups.Get(id)
	if !ok { // an id of the old, short form is well-formed here
		return nil, fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	}
	rules := slices.Clone(g.rules)
	for _, q := range c.q.items("SecurityGroupRule") {
		id := q.str("SecurityGroupRuleId")
		i := slices.IndexFunc(rules, func(e rule) bool { return e.id == id })
		if i < 0 {
			return nil, fault(400, "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
		}
		p, err := c.modifiedPerm(q.at("SecurityGroupRule"))
		if err != nil {
			return nil, err
		}
		rules[i].perm, rules[i].description = p, q.str("SecurityGroupRule.Description")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g.rules = rules
	return done{true}, c.enforce(g.vpc)
}

// modifiedPerm reads what a rule is to allow from now on: all of it, for what is
// not said is not kept.
func (c *call) modifiedPerm(q *node) (perm, error) {
	if q.str("IpProtocol") == "" {
		return perm{}, fault(400, "InvalidParameterValue", "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
	}
	if proto, _ := protocol(q.str("IpProtocol")); (proto == "tcp" || proto == "udp") && (!q.has("FromPort") || !q.has("ToPort")) {
		return perm{}, fault(400, "InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
	}
	p, err := parsePorts(q)
	if err != nil {
		return perm{}, err
	}
	var peers []string
	for _, name := range []string{"CidrIpv4", "CidrIpv6", "PrefixListId", "ReferencedGroupId"} {
		if q.str(name) != "" {
			peers = append(peers, name)
		}
	}
	switch {
	case len(peers) == 0:
		return perm{}, fault(400, "MissingParameter", "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId")
	case len(peers) > 1:
		return perm{}, fault(400, "InvalidParameterCombination", "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified")
	case peers[0] == "PrefixListId":
		return perm{}, fault(400, "Unsupported", "Prefix lists are not simulated.")
	case peers[0] == "ReferencedGroupId":
		g, err := find(&c.r.groups, "sg-", q.str(peers[0]))
		if err != nil {
			return perm{}, err
		}
		p.group = g.id
	default:
		p.cidr, err = parsePeer(q.str(peers[0]))
	}
	return p, err
}
