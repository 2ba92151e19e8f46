package openstack

import (
	"slices"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// ruleTable returns the rules of all groups.
func (c *Cloud) ruleTable() *sim.Table[*rule] {
	var t sim.Table[*rule]
	for _, g := range c.groups.All() {
		for _, r := range g.rules {
			t.Put(r.id, r)
		}
	}
	return &t
}

// extensions are the extensions of Neutron that are there, as far as clients
// look for them.
func extensions() []string {
	return []string{
		"address-scope", "allowed-address-pairs", "availability_zone", "binding", "external-net", "ext-gw-mode", "filter-validation",
		"fip-port-details", "net-mtu", "net-mtu-writable", "network_availability_zone", "pagination", "port-security", "project-id",
		"quota_details", "quotas", "router", "security-group", "sorting", "standard-attr-description", "standard-attr-revisions", "standard-attr-tag",
		"standard-attr-timestamp",
	}
}

// extensionDoc prints an extension.
func extensionDoc(alias string) map[string]any {
	return map[string]any{"alias": alias, "name": alias, "description": alias, "updated": "2020-01-01T00:00:00-00:00", "links": []link{}}
}

func listExtensions(*call) (answer, error) {
	rows := []map[string]any{}
	for _, e := range extensions() {
		rows = append(rows, extensionDoc(e))
	}
	return answer{status: 200, body: map[string]any{"extensions": rows}}, nil
}

func showExtension(c *call) (answer, error) {
	if !slices.Contains(extensions(), c.id()) {
		return answer{}, neutronFault(404, "ExtensionNotFound", "Extension with alias %s does not exist", c.id())
	}
	return show(200, "extension", extensionDoc(c.id()))
}

func listZones(*call) (answer, error) {
	rows := []map[string]any{}
	for _, kind := range []string{"network", "router"} {
		rows = append(rows, map[string]any{"name": Zone, "resource": kind, "state": "available"})
	}
	return answer{status: 200, body: map[string]any{"availability_zones": rows}}, nil
}

func showQuota(c *call) (answer, error) {
	d := map[string]any{}
	for _, name := range []string{
		"network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule", "subnetpool", "rbac_policy",
	} {
		d[name] = c.limitOf(name)
	}
	return show(200, "quota", d)
}

// limitOf returns the limit of a kind of object by Neutron's name, -1 for none.
func (c *Cloud) limitOf(name string) int {
	kind := name
	switch name {
	case "floatingip":
		kind = "publicIp"
	case "security_group":
		kind = "securityGroup"
	}
	if limit, ok := c.opts.Faults.Quota(Name, Region, kind); ok {
		return limit
	}
	return -1
}

// showQuotaDetails tells the limits with what of them is used.
func showQuotaDetails(c *call) (answer, error) {
	if c.id() != c.project {
		return answer{}, neutronFault(403, "PolicyNotAuthorized", "Only admin can view or configure quota")
	}
	used := map[string]int{
		"network": own(&c.networks), "subnet": own(&c.subnets), "port": own(&c.ports), "router": own(&c.routers),
		"floatingip": own(&c.floating), "security_group": own(&c.groups), "security_group_rule": own(c.ruleTable()),
		"subnetpool": 0, "rbac_policy": 0,
	}
	d := map[string]any{}
	for name, n := range used {
		d[name] = map[string]int{"limit": c.limitOf(name), "used": n, "reserved": 0}
	}
	return show(200, "quota", d)
}

// tagged returns the object that a request about tags is about.
func (c *call) tagged() (*base, error) {
	switch collection, id := c.req.PathValue("collection"), c.id(); collection {
	case "networks":
		return baseOf(&c.networks, "Network", id)
	case "subnets":
		return baseOf(&c.subnets, "Subnet", id)
	case "ports":
		return baseOf(&c.ports, "Port", id)
	case "routers":
		return baseOf(&c.routers, "Router", id)
	case "floatingips":
		return baseOf(&c.floating, "FloatingIP", id)
	case "security-groups", "security_groups":
		return baseOf(&c.groups, "SecurityGroup", id)
	default:
		return nil, neutronFault(404, "HTTPNotFound", "The resource could not be found.")
	}
}

// baseOf returns the common part of an object.
func baseOf[T resource](t *sim.Table[T], noun, id string) (*base, error) {
	r, err := find(t, noun, id)
	if err != nil {
		return nil, err
	}
	return r.common(), nil
}

// maxTag is the most that a tag may have, in characters.
const maxTag = 255

func listTags(c *call) (answer, error) {
	b, err := c.tagged()
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: map[string]any{"tags": append([]string{}, b.tags...)}}, nil
}

func replaceTags(c *call) (answer, error) {
	b, err := c.tagged()
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Tags []string `json:"tags"`
	}
	if err := strictJSON(c.body, &body); err != nil {
		return answer{}, neutronFault(400, "HTTPBadRequest", "Invalid tags body")
	}
	for _, t := range body.Tags {
		if t == "" || len([]rune(t)) > maxTag {
			return answer{}, badInput("tags", "'%s' exceeds maximum length of %d or is empty.", t, maxTag)
		}
	}
	slices.Sort(body.Tags)
	b.tags = slices.Compact(body.Tags)
	c.touch(b)
	return answer{status: 200, body: map[string]any{"tags": append([]string{}, b.tags...)}}, nil
}

func deleteTags(c *call) (answer, error) {
	b, err := c.tagged()
	if err != nil {
		return answer{}, err
	}
	b.tags = nil
	c.touch(b)
	return answer{status: 204}, nil
}

func addTag(c *call) (answer, error) {
	b, err := c.tagged()
	if err != nil {
		return answer{}, err
	}
	if tag := c.req.PathValue("tag"); !slices.Contains(b.tags, tag) {
		b.tags = append(b.tags, tag)
	}
	c.touch(b)
	return answer{status: 201}, nil
}

func removeTag(c *call) (answer, error) {
	b, err := c.tagged()
	if err != nil {
		return answer{}, err
	}
	tag := c.req.PathValue("tag")
	if !slices.Contains(b.tags, tag) {
		return answer{}, neutronFault(404, "TagNotFound", "Tag %s could not be found.", tag)
	}
	b.tags = slices.DeleteFunc(b.tags, func(t string) bool { return t == tag })
	c.touch(b)
	return answer{status: 204}, nil
}
