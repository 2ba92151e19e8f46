package openstack

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
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

// ruleBody is what a client may say about a rule.
type ruleBody struct {
	Group       *string `json:"security_group_id"`
	Direction   *string `json:"direction"`
	Ether       *string `json:"ethertype"`
	Protocol    any     `json:"protocol"` // a name or a number
	From        *int    `json:"port_range_min"`
	To          *int    `json:"port_range_max"`
	Prefix      *string `json:"remote_ip_prefix"`
	Remote      *string `json:"remote_group_id"`
	Addresses   *string `json:"remote_address_group_id"`
	Description *string `json:"description"`
	Tenant      *string `json:"tenant_id"`
	Project     *string `json:"project_id"`
}

func createRule(c *call) (answer, error) {
	var body ruleBody
	if err := c.neutronBody("security_group_rule", &body); err != nil {
		return answer{}, err
	}
	g, err := c.groupOf(or(body.Group, ""))
	if err != nil {
		return answer{}, err
	}
	a, err := c.parseRule(body)
	if err != nil {
		return answer{}, err
	}
	for _, r := range g.rules {
		if r.allows == a {
			return answer{}, neutronFault(409, "SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", r.id)
		}
	}
	r := g.add(c.Cloud, a, or(body.Description, ""))
	if err := c.enforce(); err != nil {
		return answer{}, err
	}
	return show(201, "security_group_rule", r.doc(c.Cloud))
}

// parseRule checks what a rule is to let pass.
func (c *call) parseRule(body ruleBody) (allows, error) {
	a := allows{ether: or(body.Ether, "IPv4"), from: or(body.From, -1), to: or(body.To, -1), remote: or(body.Remote, "")}
	switch strings.ToLower(or(body.Direction, "")) {
	case "ingress":
		a.ingress = true
	case "egress":
	default:
		return a, badInput("direction", "'%s' is not in ['ingress', 'egress'].", or(body.Direction, ""))
	}
	switch strings.ToLower(a.ether) {
	case "ipv4":
		a.ether = "IPv4"
	case "ipv6":
		a.ether = "IPv6"
	default:
		return a, badInput("ethertype", "'%s' is not in ['IPv4', 'IPv6'].", a.ether)
	}
	var err error
	if a.protocol, err = parseProtocol(body.Protocol); err != nil {
		return a, err
	}
	if err := a.checkPorts(); err != nil {
		return a, err
	}
	if text := or(body.Prefix, ""); text != "" {
		if a.remote != "" {
			return a, neutronFault(400, "SecurityGroupMultipleRemoteEntites", "Only remote_ip_prefix, remote_group_id or remote_address_group_id may be provided.")
		}
		if a.prefix, err = parsePrefix(text); err != nil {
			return a, badInput("remote_ip_prefix", "'%s' is not a valid IP subnet.", text)
		}
		if a.prefix.Addr().Is4() != (a.ether == "IPv4") {
			return a, neutronFault(400, "SecurityGroupRuleParameterConflict", "Conflicting value ethertype %s for CIDR %s", a.ether, text)
		}
	}
	if a.remote != "" {
		if _, err := c.groupOf(a.remote); err != nil {
			return a, err
		}
	}
	return a, nil
}

// parsePrefix reads a prefix, or an address as one of its own.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// parseProtocol reads a protocol's name or number; names are kept as they are.
func parseProtocol(v any) (string, error) {
	var name string
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		name = strings.ToLower(v)
	case float64:
		name = strconv.FormatFloat(v, 'f', -1, 64)
	}
	if name == "any" || name == "" && v == "" {
		return "", nil
	}
	if _, ok := protocolNumber(name); !ok {
		return "", neutronFault(400, "SecurityGroupRuleInvalidProtocol", "Security group rule protocol %v not supported. Only protocol values [None, 'ah', 'dccp', 'egp', 'esp', 'gre', 'hopopt', 'icmp', 'igmp', 'ip', 'ipip', 'ipv6-encap', 'ipv6-frag', 'ipv6-icmp', 'icmpv6', 'ipv6-nonxt', 'ipv6-opts', 'ipv6-route', 'ospf', 'pgm', 'rsvp', 'sctp', 'tcp', 'udp', 'udplite', 'vrrp'] and integer representations [0 to 255] are supported.", v)
	}
	return name, nil
}

// protocolNumber returns the number of a protocol.
func protocolNumber(name string) (int, bool) {
	n, ok := map[string]int{
		"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "dccp": 33, "rsvp": 46, "gre": 47, "esp": 50, "ah": 51,
		"icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "vrrp": 112, "pgm": 113, "sctp": 132, "udplite": 136,
	}[name]
	if ok {
		return n, true
	}
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && n <= 255
}

// checkPorts checks the range of ports, or the type and code of ICMP.
func (a allows) checkPorts() error {
	if a.from < 0 && a.to < 0 {
		return nil
	}
	number, _ := protocolNumber(a.protocol)
	switch {
	case a.protocol == "":
		return neutronFault(400, "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
	case number == 1 || number == 58:
		if a.from > 255 || a.to > 255 {
			return neutronFault(400, "SecurityGroupInvalidIcmpValue", "Invalid value for ICMP %s (%s) %d. It must be 0 to 255.", "type", "port_range_min", a.from)
		}
		if a.from < 0 {
			return neutronFault(400, "SecurityGroupMissingIcmpType", "ICMP code (port-range-max) %d is provided but ICMP type (port-range-min) is missing.", a.to)
		}
	case a.from < 1 || a.to > 65535 || a.from > a.to:
		return neutronFault(400, "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max")
	}
	return nil
}

// listRules lists the rules of all groups.
func listRules(c *call) (answer, error) {
	t := c.ruleTable()
	return list(c, "security_group_rules", t)
}

// ruleOf returns the rule that the request's path names, with its group.
func (c *call) ruleOf() (*group, *rule, error) {
	for _, g := range c.groups.All() {
		for _, r := range g.rules {
			if r.id == c.id() {
				return g, r, nil
			}
		}
	}
	return nil, nil, neutronFault(404, "SecurityGroupRuleNotFound", "Security group rule %s does not exist", c.id())
}

func showRule(c *call) (answer, error) {
	_, r, err := c.ruleOf()
	if err != nil {
		return answer{}, err
	}
	return show(200, "security_group_rule", r.doc(c.Cloud))
}

func deleteRule(c *call) (answer, error) {
	g, r, err := c.ruleOf()
	if err != nil {
		return answer{}, err
	}
	g.rules = slices.DeleteFunc(g.rules, func(o *rule) bool { return o == r })
	return answer{status: 204}, c.enforce()
}

// enforce gives the fabric the rules of every port whose rules have changed.
func (c *call) enforce() error {
	for _, p := range c.ports.All() {
		if !p.ip.IsValid() || p.owner == ownerRouter {
			continue
		}
		rules := c.compile(p)
		if p.enforced && slices.Equal(rules, p.rules) {
			continue
		}
		if err := c.opts.Fabric.SetFirewall(c.ctx, p.subnet, p.ip, rules); err != nil {
			return err
		}
		p.rules, p.enforced = rules, true
	}
	return nil
}

// compile turns a port's security groups into rules of the fabric. A group that
// a rule refers to stands for its members' addresses. The fabric carries IPv4.
func (c *Cloud) compile(p *port) []fabric.Rule {
	if p.open {
		return []fabric.Rule{{}, {Ingress: true}}
	}
	var rules []fabric.Rule
	for _, id := range p.groups {
		g, ok := c.groups.Get(id)
		if !ok {
			continue
		}
		for _, r := range g.rules {
			if r.ether != "IPv4" {
				continue
			}
			base := r.fabric()
			if r.remote == "" {
				rules = append(rules, base)
				continue
			}
			for _, member := range c.ports.All() {
				if member.ip.IsValid() && slices.Contains(member.groups, r.remote) {
					base.CIDR = netip.PrefixFrom(member.ip, member.ip.BitLen())
					rules = append(rules, base)
				}
			}
		}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// fabric returns the rule in the fabric's form, without its remote group.
func (a allows) fabric() fabric.Rule {
	r := fabric.Rule{Ingress: a.ingress, CIDR: a.prefix.Masked()}
	number, known := protocolNumber(a.protocol)
	switch {
	case !known: // any
		return r
	case number == 6:
		r.Protocol, r.FromPort, r.ToPort = "tcp", max(a.from, 0), max(a.to, 0)
	case number == 17:
		r.Protocol, r.FromPort, r.ToPort = "udp", max(a.from, 0), max(a.to, 0)
	case number == 1:
		r.Protocol, r.FromPort, r.ToPort = "icmp", a.from, a.to
	default:
		r.Protocol = itoa(number)
	}
	return r
}

// compareRules orders rules, so that equal sets are equal lists.
func compareRules(a, b fabric.Rule) int {
	in := func(r fabric.Rule) int {
		if r.Ingress {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(in(a), in(b)), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.FromPort, b.FromPort),
		cmp.Compare(a.ToPort, b.ToPort), a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()),
	)
}
