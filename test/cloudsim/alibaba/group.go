package alibaba

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// group is a basic security group.
type group struct {
	id, name, description, vpc string
	apart                      bool // members reach each other by rules alone
	rules                      []rule
	tags                       map[string]string
	made                       time.Time
}

func createSecurityGroup(c *call) (obj, error) {
	n, d, tags, err := c.q.labelled("SecurityGroupName", 2)
	if err != nil {
		return nil, err
	}
	if _, err := c.vpc(c.q.str("VpcId")); err != nil {
		return nil, err
	}
	if t := c.q.str("SecurityGroupType"); t != "" && t != "normal" {
		return nil, fault(400, "UnsupportedParameter", "SecurityGroupType %q is not simulated.", t)
	}
	g := &group{id: newID("sg-"), name: n, description: d, vpc: c.q.str("VpcId"), tags: tags, made: c.now()}
	c.r.groups.Put(g.id, g)
	return obj{"SecurityGroupId": g.id}, nil
}

func describeSecurityGroups(c *call) (obj, error) {
	var ids []string
	if text := c.q.str("SecurityGroupIds"); text != "" {
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, invalid("SecurityGroupIds", text)
		}
	}
	is := func(param, value string) bool { return c.q.str(param) == "" || c.q.str(param) == value }
	rows := c.r.groups.Where(func(g *group) bool {
		return c.visible(g.made) && is("VpcId", g.vpc) && is("SecurityGroupId", g.id) && is("SecurityGroupName", g.name) &&
			(len(ids) == 0 || slices.Contains(ids, g.id)) && c.q.matches(g.tags)
	})
	rows, out, err := paged(c.q, rows, func(g *group) string { return g.id }, 100)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, g := range rows {
		list = append(list, obj{
			"SecurityGroupId": g.id, "SecurityGroupName": g.name, "Description": g.description, "VpcId": g.vpc,
			"SecurityGroupType": "normal", "CreationTime": second(g.made), "Tags": ecsTags(g.tags),
		})
	}
	out["RegionId"], out["SecurityGroups"] = c.r.region, obj{"SecurityGroup": list}
	return out, nil
}

// group returns the security group that a request names, once it is visible.
func (c *call) group() (*group, error) {
	g, ok := c.r.groups.Get(c.q.str("SecurityGroupId"))
	if !ok || !c.visible(g.made) {
		return nil, fault(404, "InvalidSecurityGroupId.NotFound", "The specified SecurityGroupId does not exist.")
	}
	return g, nil
}

func describeSecurityGroupAttribute(c *call) (obj, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	rows := g.rules
	if c.q.str("Direction") == "egress" {
		rows = nil
	}
	rows, out, err := following(c.q, rows, func(r rule) string { return r.id }, 1000)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, r := range rows {
		list = append(list, r.print())
	}
	policy := "Accept"
	if g.apart {
		policy = "Drop"
	}
	out["SecurityGroupId"], out["SecurityGroupName"], out["VpcId"] = g.id, g.name, g.vpc
	out["Description"], out["RegionId"], out["InnerAccessPolicy"] = g.description, c.r.region, policy
	out["Permissions"] = obj{"Permission": list}
	return out, nil
}

func modifySecurityGroupPolicy(c *call) (obj, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	switch p := strings.ToLower(c.q.str("InnerAccessPolicy")); p {
	case "accept", "drop":
		g.apart = p == "drop"
	default:
		return nil, invalid("InnerAccessPolicy", p)
	}
	return obj{}, c.enforce(g.vpc)
}

func deleteSecurityGroup(c *call) (obj, error) {
	g, err := c.group()
	switch {
	case err != nil:
		return nil, err
	case c.r.instances.Any(func(i *instance) bool { return i.group == g.id }):
		return nil, fault(403, "DependencyViolation", "There is still instance(s) in the specified security group.")
	case c.r.groups.Any(func(o *group) bool {
		return o.id != g.id && slices.ContainsFunc(o.rules, func(r rule) bool { return r.group == g.id })
	}):
		return nil, fault(403, "DependencyViolation", "The specified security group has been authorized in another one.")
	}
	c.r.groups.Delete(g.id)
	return obj{}, nil
}
