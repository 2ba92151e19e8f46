package openstack

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

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
