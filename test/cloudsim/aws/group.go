package aws

import (
	"net/netip"
	"slices"
)

// group is a security group.
type group struct {
	id          string
	vpc         string
	name        string
	description string
	rules       []rule
}

// rule is a rule of a security group.
type rule struct {
	id          string
	egress      bool
	description string
	perm
}

// perm is what a rule allows; two rules of one direction never allow the same.
type perm struct {
	proto string // tcp, udp, icmp, icmpv6, -1 for all, or a number
	from  int    // port, or type of ICMP; -1 for all
	to    int    // port, or code of ICMP; -1 for all
	cidr  netip.Prefix
	group string // id of a group whose members are meant, instead of cidr
}

// rule returns a rule by its id.
func (r *region) rule(id string) (*group, rule, bool) {
	for _, g := range r.groups.All() {
		if i := slices.IndexFunc(g.rules, func(e rule) bool { return e.id == id }); i >= 0 {
			return g, g.rules[i], true
		}
	}
	return nil, rule{}, false
}

// defaultVPC returns the region's default VPC.
func (r *region) defaultVPC() (*vpc, error) {
	for _, v := range r.vpcs.All() {
		if v.isDefault {
			return v, nil
		}
	}
	return nil, fault(400, "VPCIdNotSpecified", "No default VPC for this user")
}

// groupNamed returns the group of a name in a VPC.
func (r *region) groupNamed(vpc, name string) (*group, bool) {
	found := r.groups.Where(func(g *group) bool { return g.vpc == vpc && g.name == name })
	if len(found) == 0 {
		return nil, false
	}
	return found[0], true
}

// maxGroupText is the most that a group's name or description may have.
const maxGroupText = 255

func createSecurityGroup(c *call) (any, error) {
	name, err := c.q.need("GroupName")
	if err != nil {
		return nil, err
	}
	description, err := c.q.need("GroupDescription")
	if err != nil {
		return nil, err
	}
	v, err := c.vpcOrDefault()
	if err != nil {
		return nil, err
	}
	tags, err := tagSpecs(c.q, "security-group")
	if err != nil {
		return nil, err
	}
	switch {
	case name == "default":
		return nil, fault(400, "InvalidParameterValue", "Cannot use reserved security group name: %s", name)
	case len(name) > 3 && name[:3] == "sg-":
		return nil, fault(400, "InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Group names may not be in the format sg-*.", name)
	case len(name) > maxGroupText || !plain(name):
		return nil, fault(400, "InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. Character sets beyond ASCII are not supported.", name)
	case len(description) > maxGroupText || !plain(description):
		return nil, fault(400, "InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", description)
	}
	if _, taken := c.r.groupNamed(v.id, name); taken {
		return nil, fault(400, "InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, v.id)
	}
	own := c.r.groups.Where(func(g *group) bool { return g.name != "default" })
	if max, ok := c.opts.Faults.Quota(Name, c.r.name, "securityGroup"); ok && len(own) >= max {
		return nil, fault(400, "SecurityGroupLimitExceeded", "The maximum number of security groups for this account has been reached.")
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	g := &group{id: newID("sg-"), vpc: v.id, name: name, description: description}
	g.rules = []rule{{id: newID("sgr-"), egress: true, perm: perm{proto: "-1", from: -1, to: -1, cidr: anywhere4()}}}
	c.r.groups.Put(g.id, g)
	c.r.setTags(g.id, tags["security-group"])
	return struct {
		Return bool        `xml:"return"`
		ID     string      `xml:"groupId"`
		Tags   set[xmlTag] `xml:"tagSet"`
		ARN    string      `xml:"securityGroupArn"`
	}{true, g.id, c.r.xmlTags(g.id), c.r.arn("security-group", g.id)}, nil
}

// vpcOrDefault returns the VPC that a request names, or the default one.
func (c *call) vpcOrDefault() (*vpc, error) {
	if c.q.str("VpcId") == "" {
		return c.r.defaultVPC()
	}
	return findParam(c, &c.r.vpcs, "vpc-", "VpcId")
}

// arn returns the Amazon resource name of something in the region.
func (r *region) arn(kind, id string) string {
	return "arn:aws:ec2:" + r.name + ":" + account + ":" + kind + "/" + id
}

// plain reports whether a name or description is made of printable ASCII.
func plain(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(b byte) bool { return b < ' ' || b > '~' })
}

// groupParam returns the group that a request names by id or, in the default
// VPC, by name.
func (c *call) groupParam() (*group, error) {
	if c.q.str("GroupId") != "" {
		return findParam(c, &c.r.groups, "sg-", "GroupId")
	}
	name := c.q.str("GroupName")
	if name == "" {
		return nil, fault(400, "MissingParameter", "The request must contain the parameter groupName or groupId")
	}
	v, err := c.r.defaultVPC()
	if err != nil {
		return nil, err
	}
	g, ok := c.r.groupNamed(v.id, name)
	if !ok {
		return nil, fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, v.id)
	}
	return g, nil
}

func deleteSecurityGroup(c *call) (any, error) {
	g, err := c.groupParam()
	if err != nil {
		return nil, err
	}
	if g.name == "default" {
		return nil, fault(400, "CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	used := c.r.enis.Any(func(e *eni) bool { return slices.Contains(e.groups, g.id) }) ||
		c.r.groups.Any(func(o *group) bool {
			return o != g && slices.ContainsFunc(o.rules, func(e rule) bool { return e.group == g.id })
		})
	if used {
		return nil, fault(400, "DependencyViolation", "resource %s has a dependent object", g.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	for _, e := range g.rules {
		c.r.forget(e.id)
	}
	c.r.groups.Delete(g.id)
	c.r.forget(g.id)
	return struct {
		Return bool   `xml:"return"`
		ID     string `xml:"groupId"`
	}{true, g.id}, nil
}

type xmlGroup struct {
	ID          string       `xml:"groupId"`
	Name        string       `xml:"groupName"`
	Description string       `xml:"groupDescription"`
	OwnerID     string       `xml:"ownerId"`
	VPC         string       `xml:"vpcId"`
	ARN         string       `xml:"securityGroupArn"`
	Ingress     set[xmlPerm] `xml:"ipPermissions"`
	Egress      set[xmlPerm] `xml:"ipPermissionsEgress"`
	Tags        set[xmlTag]  `xml:"tagSet"`
}

// xmlGroup prints a security group.
func (r *region) xmlGroup(g *group) xmlGroup {
	return xmlGroup{
		ID: g.id, Name: g.name, Description: g.description, OwnerID: account, VPC: g.vpc, ARN: r.arn("security-group", g.id),
		Ingress: r.xmlPerms(g, false), Egress: r.xmlPerms(g, true), Tags: r.xmlTags(g.id),
	}
}

func describeSecurityGroups(c *call) (any, error) {
	rows, err := selected(c, &c.r.groups, selection[*group]{
		param: "GroupId", prefix: "sg-",
		id: func(g *group) string { return g.id }, attrs: c.r.groupAttrs,
	})
	if err != nil {
		return nil, err
	}
	if names := c.q.list("GroupName"); len(names) > 0 {
		v, err := c.r.defaultVPC()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if _, ok := c.r.groupNamed(v.id, name); !ok {
				return nil, fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, v.id)
			}
		}
		rows = slices.DeleteFunc(rows, func(g *group) bool { return g.vpc != v.id || !slices.Contains(names, g.name) })
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Groups set[xmlGroup] `xml:"securityGroupInfo"`
		Next   string        `xml:"nextToken,omitempty"`
	}{setOf(rows, c.r.xmlGroup), next}, err
}

// groupAttrs are the filters of DescribeSecurityGroups.
func (r *region) groupAttrs(g *group, f string) ([]string, bool) {
	table := map[string][]string{
		"group-id": {g.id}, "group-name": {g.name}, "description": {g.description}, "vpc-id": {g.vpc}, "owner-id": {account},
	}
	for _, dir := range []string{"", "egress."} {
		for _, attr := range []string{"cidr", "ipv6-cidr", "from-port", "to-port", "protocol", "group-id", "group-name", "user-id"} {
			table[dir+"ip-permission."+attr] = nil
		}
	}
	for _, e := range g.rules {
		dir := "ip-permission."
		if e.egress {
			dir = "egress." + dir
		}
		add := func(name, v string) { table[dir+name] = append(table[dir+name], v) }
		add("protocol", e.proto)
		add("from-port", itoa(e.from))
		add("to-port", itoa(e.to))
		switch {
		case e.group != "":
			add("group-id", e.group)
			add("user-id", account)
			if o, ok := r.groups.Get(e.group); ok {
				add("group-name", o.name)
			}
		case e.cidr.Addr().Is6():
			add("ipv6-cidr", e.cidr.String())
		default:
			add("cidr", e.cidr.String())
		}
	}
	return fields(table)(f)
}
