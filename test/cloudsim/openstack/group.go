package openstack

import (
	"net/netip"
	"slices"
)

// group is a security group.
type group struct {
	base
	rules []*rule
}

// rule is a rule of a security group.
type rule struct {
	base
	group string
	allows
}

// allows is what a rule lets pass; a group never has two rules of the same.
type allows struct {
	ingress  bool
	ether    string // IPv4 or IPv6
	protocol string // "" = any
	from, to int    // -1 = any
	prefix   netip.Prefix
	remote   string // id of a group whose members are meant
}

// addDefaultGroup makes the project's default group.
func (c *Cloud) addDefaultGroup() {
	name, text := "default", "Default security group"
	g := c.newGroup(name, text)
	g.implicit = true
	for _, ether := range []string{"IPv4", "IPv6"} {
		g.add(c, allows{ingress: true, ether: ether, from: -1, to: -1, remote: g.id}, "")
	}
	c.defaultSG = g
}

// newGroup makes a group that lets everything out.
func (c *Cloud) newGroup(name, description string) *group {
	g := &group{base: c.newBase(&name, &description)}
	for _, ether := range []string{"IPv4", "IPv6"} {
		g.add(c, allows{ether: ether, from: -1, to: -1}, "")
	}
	c.groups.Put(g.id, g)
	return g
}

// add puts a rule into a group.
func (g *group) add(c *Cloud, a allows, description string) *rule {
	r := &rule{base: c.newBase(nil, &description), group: g.id, allows: a}
	g.rules = append(g.rules, r)
	return r
}

// doc implements resource.
func (g *group) doc(c *Cloud) map[string]any {
	rules := []map[string]any{}
	for _, r := range g.rules {
		rules = append(rules, r.doc(c))
	}
	return c.docOf(&g.base, map[string]any{"security_group_rules": rules, "stateful": true, "shared": false})
}

// doc implements resource.
func (r *rule) doc(c *Cloud) map[string]any {
	direction := "egress"
	if r.ingress {
		direction = "ingress"
	}
	d := c.docOf(&r.base, map[string]any{
		"security_group_id": r.group, "direction": direction, "ethertype": r.ether, "protocol": nil, "port_range_min": nil,
		"port_range_max": nil, "remote_ip_prefix": nil, "remote_group_id": nil, "remote_address_group_id": nil, "normalized_cidr": nil,
	})
	delete(d, "name")
	if r.protocol != "" {
		d["protocol"] = r.protocol
	}
	if r.from >= 0 {
		d["port_range_min"] = r.from
	}
	if r.to >= 0 {
		d["port_range_max"] = r.to
	}
	if r.prefix.IsValid() {
		d["remote_ip_prefix"], d["normalized_cidr"] = r.prefix.String(), r.prefix.Masked().String()
	}
	if r.remote != "" {
		d["remote_group_id"] = r.remote
	}
	return d
}

// groupBody is what a client may say about a group.
type groupBody struct {
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Stateful    *bool   `json:"stateful"`
	Tenant      *string `json:"tenant_id"`
	Project     *string `json:"project_id"`
}

func createGroup(c *call) (answer, error) {
	var body groupBody
	if err := c.neutronBody("security_group", &body); err != nil {
		return answer{}, err
	}
	if or(body.Name, "") == "default" {
		return answer{}, neutronFault(409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	if !or(body.Stateful, true) {
		return answer{}, badInput("stateful", "only stateful groups are simulated.")
	}
	if err := c.quota("securityGroup", "security_group", own(&c.groups)); err != nil {
		return answer{}, err
	}
	g := c.newGroup(or(body.Name, ""), or(body.Description, ""))
	return show(201, "security_group", g.doc(c.Cloud))
}

func listGroups(c *call) (answer, error) { return list(c, "security_groups", &c.groups) }

// groupOf returns the group that the request's path names.
func (c *call) groupOf(id string) (*group, error) {
	g, ok := c.groups.Get(id)
	if !ok {
		return nil, neutronFault(404, "SecurityGroupNotFound", "Security group %s does not exist", id)
	}
	return g, nil
}

func showGroup(c *call) (answer, error) {
	g, err := c.groupOf(c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "security_group", g.doc(c.Cloud))
}

func updateGroup(c *call) (answer, error) {
	g, err := c.groupOf(c.id())
	if err != nil {
		return answer{}, err
	}
	var body groupBody
	if err := c.neutronBody("security_group", &body); err != nil {
		return answer{}, err
	}
	if g == c.defaultSG && body.Name != nil {
		return answer{}, neutronFault(409, "SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
	}
	set(&g.name, body.Name)
	set(&g.description, body.Description)
	c.touch(&g.base)
	return show(200, "security_group", g.doc(c.Cloud))
}

func deleteGroup(c *call) (answer, error) {
	g, err := c.groupOf(c.id())
	if err != nil {
		return answer{}, err
	}
	if g == c.defaultSG {
		return answer{}, neutronFault(409, "SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	if c.ports.Any(func(p *port) bool { return slices.Contains(p.groups, g.id) }) {
		return answer{}, neutronFault(409, "SecurityGroupInUse", "Security Group %s in use.", g.id)
	}
	c.groups.Delete(g.id)
	// Rules of others that refer to it go with it, as the real database has it.
	for _, o := range c.groups.All() {
		o.rules = slices.DeleteFunc(o.rules, func(r *rule) bool { return r.remote == g.id })
	}
	return answer{status: 204}, c.enforce()
}
