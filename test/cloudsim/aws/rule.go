package aws

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxRules is how many rules a group may have in each direction.
const maxRules = 60

func authorizeIngress(c *call) (any, error) { return c.authorize(false) }
func authorizeEgress(c *call) (any, error)  { return c.authorize(true) }
func revokeIngress(c *call) (any, error)    { return c.revoke(false) }
func revokeEgress(c *call) (any, error)     { return c.revoke(true) }

// authorize adds rules to a group: all of them or none.
func (c *call) authorize(egress bool) (any, error) {
	g, err := c.groupParam()
	if err != nil {
		return nil, err
	}
	wanted, err := c.parseRules(g, egress)
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecs(c.q, "security-group-rule")
	if err != nil {
		return nil, err
	}
	for i, e := range wanted {
		if g.find(egress, e.perm) >= 0 {
			return nil, fault(400, "InvalidPermission.Duplicate", "the specified rule \"%s\" already exists", e.perm)
		}
		if slices.ContainsFunc(wanted[:i], func(o rule) bool { return o.perm == e.perm }) {
			return nil, fault(400, "InvalidParameterValue", "The same permission must not appear multiple times")
		}
	}
	if n := len(g.direction(egress)); n+len(wanted) > maxRules {
		return nil, fault(400, "RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	for i := range wanted {
		wanted[i].id = newID("sgr-")
		c.r.setTags(wanted[i].id, tags["security-group-rule"])
	}
	g.rules = append(g.rules, wanted...)
	return struct {
		Return bool         `xml:"return"`
		Rules  set[xmlRule] `xml:"securityGroupRuleSet"`
	}{true, setOf(wanted, func(e rule) xmlRule { return c.r.xmlRule(g, e) })}, c.enforce(g.vpc)
}

// revoke removes rules from a group, given by what they allow or by their ids.
func (c *call) revoke(egress bool) (any, error) {
	g, err := c.groupParam()
	if err != nil {
		return nil, err
	}
	var gone []string
	if ids := c.q.list("SecurityGroupRuleId"); len(ids) > 0 {
		for _, id := range ids {
			if !slices.ContainsFunc(g.rules, func(e rule) bool { return e.id == id && e.egress == egress }) {
				return nil, notFound("sgr-", id)
			}
		}
		gone = ids
	} else {
		wanted, err := c.parseRules(g, egress)
		if err != nil {
			return nil, err
		}
		for _, e := range wanted {
			i := g.find(egress, e.perm)
			if i < 0 {
				return nil, fault(400, "InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			gone = append(gone, g.rules[i].id)
		}
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g.rules = slices.DeleteFunc(g.rules, func(e rule) bool { return slices.Contains(gone, e.id) })
	for _, id := range gone {
		c.r.forget(id)
	}
	return done{true}, c.enforce(g.vpc)
}

// find returns the place of the rule that allows something, -1 if none does.
func (g *group) find(egress bool, p perm) int {
	return slices.IndexFunc(g.rules, func(e rule) bool { return e.egress == egress && e.perm == p })
}

// direction returns a group's rules of one direction.
func (g *group) direction(egress bool) []rule {
	var rules []rule
	for _, e := range g.rules {
		if e.egress == egress {
			rules = append(rules, e)
		}
	}
	return rules
}

// String prints what a rule allows, in the words of EC2's error messages.
func (p perm) String() string {
	peer := p.group
	if peer == "" {
		peer = p.cidr.String()
	}
	if p.proto == "-1" {
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	}
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(p.proto), p.from, p.to)
}

// parseRules reads the rules of an authorize or revoke call.
func (c *call) parseRules(g *group, egress bool) ([]rule, error) {
	perms := c.q.items("IpPermissions")
	if len(perms) == 0 {
		return c.flatRule(g, egress)
	}
	var rules []rule
	for _, q := range perms {
		base, err := parsePorts(q)
		if err != nil {
			return nil, err
		}
		more, err := c.parsePeers(g, q, base)
		if err != nil {
			return nil, err
		}
		for _, e := range more {
			e.egress = egress
			rules = append(rules, e)
		}
	}
	return rules, nil
}

// flatRule reads the one rule of a request in the old form.
func (c *call) flatRule(g *group, egress bool) ([]rule, error) {
	if c.q.str("IpProtocol") == "" && c.q.str("SourceSecurityGroupName") == "" {
		return nil, missing("IpPermissions")
	}
	p, err := parsePorts(c.q)
	if err != nil {
		return nil, err
	}
	if name := c.q.str("SourceSecurityGroupName"); name != "" {
		other, ok := c.r.groupNamed(g.vpc, name)
		if !ok {
			return nil, fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist", name)
		}
		p.group = other.id
	} else if p.cidr, err = parsePeer(c.q.str("CidrIp")); err != nil {
		return nil, err
	}
	return []rule{{egress: egress, perm: p}}, nil
}

// parsePorts reads the protocol and the ports of a permission.
func parsePorts(q *node) (perm, error) {
	name, err := q.need("IpProtocol")
	if err != nil {
		return perm{}, err
	}
	proto, ok := protocol(name)
	if !ok {
		return perm{}, fault(400, "InvalidPermission.Malformed", "Unsupported IP protocol \"%s\" - supported: [tcp, udp, icmp, icmpv6, -1]", name)
	}
	p := perm{proto: proto, from: -1, to: -1}
	if proto == "-1" {
		return p, nil // ports do not matter then
	}
	if p.from, err = q.number("FromPort", -1); err != nil {
		return perm{}, err
	}
	if p.to, err = q.number("ToPort", -1); err != nil {
		return perm{}, err
	}
	if proto != "tcp" && proto != "udp" {
		return p, nil
	}
	if !q.has("FromPort") || !q.has("ToPort") {
		return perm{}, fault(400, "InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
	}
	if p.from == -1 && p.to == -1 {
		p.from, p.to = 0, 65535
	}
	if p.from < 0 || p.to > 65535 || p.from > p.to {
		return perm{}, fault(400, "InvalidParameterValue", "Invalid value '%d-%d' for portRange: invalid range.", p.from, p.to)
	}
	return p, nil
}

// protocol returns EC2's name of an IP protocol.
func protocol(name string) (string, bool) {
	switch name = strings.ToLower(name); name {
	case "tcp", "6":
		return "tcp", true
	case "udp", "17":
		return "udp", true
	case "icmp", "1":
		return "icmp", true
	case "icmpv6", "58":
		return "icmpv6", true
	case "all", "-1":
		return "-1", true
	}
	n, err := strconv.Atoi(name)
	return name, err == nil && n >= 0 && n <= 255
}

// parsePeers reads who a permission is for and makes a rule of each.
func (c *call) parsePeers(g *group, q *node, base perm) ([]rule, error) {
	var rules []rule
	for param, attr := range map[string]string{"IpRanges": "CidrIp", "Ipv6Ranges": "CidrIpv6"} {
		for _, peer := range q.items(param) {
			p := base
			var err error
			if p.cidr, err = parsePeer(peer.str(attr)); err != nil {
				return nil, err
			}
			if p.cidr.Addr().Is6() != (param == "Ipv6Ranges") {
				return nil, parseFailed(peer.str(attr))
			}
			rules = append(rules, rule{perm: p, description: peer.str("Description")})
		}
	}
	for _, peer := range q.items("Groups") {
		p := base
		p.group = peer.str("GroupId")
		if name := peer.str("GroupName"); p.group == "" && name != "" {
			other, ok := c.r.groupNamed(g.vpc, name)
			if !ok {
				return nil, fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist", name)
			}
			p.group = other.id
		}
		other, err := find(&c.r.groups, "sg-", p.group)
		if err != nil {
			return nil, err
		}
		if other.vpc != g.vpc {
			return nil, fault(400, "InvalidGroup.NotFound", "You have specified two resources that belong to different networks.")
		}
		rules = append(rules, rule{perm: p, description: peer.str("Description")})
	}
	if len(rules) == 0 {
		return nil, fault(400, "InvalidParameterValue", "The permission must name at least one source or destination.")
	}
	slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(a.perm.String(), b.perm.String()) })
	return rules, nil
}

// parsePeer reads a CIDR block of a rule. EC2 corrects host bits silently.
func parsePeer(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, parseFailed(s)
	}
	return p.Masked(), nil
}

func parseFailed(s string) error {
	return fault(400, "InvalidParameterValue", "CIDR block %s is malformed", s)
}

// xmlPerm is a permission: all rules of one protocol and range of ports.
type xmlPerm struct {
	Proto  string            `xml:"ipProtocol"`
	From   *int              `xml:"fromPort"`
	To     *int              `xml:"toPort"`
	Groups set[xmlGroupPair] `xml:"groups"`
	IPv4   set[xmlRange4]    `xml:"ipRanges"`
	IPv6   set[xmlRange6]    `xml:"ipv6Ranges"`
	Lists  set[string]       `xml:"prefixListIds"`
}

type xmlGroupPair struct {
	UserID      string `xml:"userId"`
	GroupID     string `xml:"groupId"`
	Description string `xml:"description,omitempty"`
}

type xmlRange4 struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type xmlRange6 struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

// xmlPerms prints the rules of one direction, those of the same ports as one.
func (r *region) xmlPerms(g *group, egress bool) set[xmlPerm] {
	var out set[xmlPerm]
	place := map[perm]int{}
	for _, e := range g.direction(egress) {
		key := perm{proto: e.proto, from: e.from, to: e.to}
		i, ok := place[key]
		if !ok {
			i = len(out.Items)
			place[key] = i
			x := xmlPerm{Proto: e.proto}
			if e.proto != "-1" {
				x.From, x.To = &e.from, &e.to
			}
			out.Items = append(out.Items, x)
		}
		x := &out.Items[i]
		switch {
		case e.group != "":
			x.Groups.Items = append(x.Groups.Items, xmlGroupPair{account, e.group, e.description})
		case e.cidr.Addr().Is6():
			x.IPv6.Items = append(x.IPv6.Items, xmlRange6{e.cidr.String(), e.description})
		default:
			x.IPv4.Items = append(x.IPv4.Items, xmlRange4{e.cidr.String(), e.description})
		}
	}
	return out
}

type xmlRule struct {
	ID          string        `xml:"securityGroupRuleId"`
	Group       string        `xml:"groupId"`
	OwnerID     string        `xml:"groupOwnerId"`
	Egress      bool          `xml:"isEgress"`
	Proto       string        `xml:"ipProtocol"`
	From        int           `xml:"fromPort"`
	To          int           `xml:"toPort"`
	IPv4        string        `xml:"cidrIpv4,omitempty"`
	IPv6        string        `xml:"cidrIpv6,omitempty"`
	Referenced  *xmlGroupPair `xml:"referencedGroupInfo"`
	Description string        `xml:"description,omitempty"`
	ARN         string        `xml:"securityGroupRuleArn"`
	Tags        set[xmlTag]   `xml:"tagSet"`
}

// xmlRule prints a rule.
func (r *region) xmlRule(g *group, e rule) xmlRule {
	x := xmlRule{
		ID: e.id, Group: g.id, OwnerID: account, Egress: e.egress, Proto: e.proto, From: e.from, To: e.to,
		Description: e.description, ARN: r.arn("security-group-rule", e.id), Tags: r.xmlTags(e.id),
	}
	switch {
	case e.group != "":
		x.Referenced = &xmlGroupPair{UserID: account, GroupID: e.group}
	case e.cidr.Addr().Is6():
		x.IPv6 = e.cidr.String()
	default:
		x.IPv4 = e.cidr.String()
	}
	return x
}

func describeSecurityGroupRules(c *call) (any, error) {
	ids := c.q.list("SecurityGroupRuleId")
	for _, id := range ids {
		if _, _, ok := c.r.rule(id); !ok {
			return nil, notFound("sgr-", id)
		}
	}
	for _, f := range c.q.items("Filter") {
		for _, id := range f.list("Value") {
			if f.str("Name") == "group-id" && !wellFormed(id, "sg-") {
				return nil, fault(400, "InvalidGroupId.Malformed", "The security group ID '%s' is malformed", id)
			}
		}
	}
	var rows []xmlRule
	for _, g := range c.r.groups.All() {
		for _, e := range g.rules {
			if len(ids) > 0 && !slices.Contains(ids, e.id) {
				continue
			}
			ok, err := match(c.q, c.r.tags[e.id], fields(map[string][]string{"group-id": {g.id}, "security-group-rule-id": {e.id}}))
			if err != nil {
				return nil, err
			}
			if ok {
				rows = append(rows, c.r.xmlRule(g, e))
			}
		}
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Rules set[xmlRule] `xml:"securityGroupRuleSet"`
		Next  string       `xml:"nextToken,omitempty"`
	}{set[xmlRule]{rows}, next}, err
}
