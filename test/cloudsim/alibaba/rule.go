package alibaba

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxRules bounds the rules of a security group.
const maxRules = 200

// rule is an ingress rule that accepts.
type rule struct {
	id       string
	proto    string // TCP, UDP, ICMP, ALL
	from, to int    // -1/-1: all
	cidr     netip.Prefix
	group    string // instead of cidr: members of this group
}

// same reports whether two rules let the same pass.
func (r rule) same(o rule) bool {
	o.id = r.id
	return r == o
}

func (r rule) print() obj {
	source := ""
	if r.group == "" {
		source = r.cidr.String()
	}
	return obj{
		"SecurityGroupRuleId": r.id, "Direction": "ingress", "IpProtocol": r.proto, "PortRange": fmt.Sprintf("%d/%d", r.from, r.to),
		"SourceCidrIp": source, "SourceGroupId": r.group, "Policy": "Accept", "Priority": "1", "NicType": "intranet",
	}
}

// rules reads the rules of a request: in a list, or as it was before, one in
// the parameters themselves.
func (c *call) rules() ([]rule, error) {
	items := c.q.items("Permissions")
	if len(items) == 0 && c.q.str("IpProtocol") != "" {
		items = []query{c.q}
	}
	var out []rule
	for _, p := range items {
		r, err := c.rule(p)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (c *call) rule(p query) (rule, error) {
	r := rule{id: newID("sgr-"), proto: strings.ToUpper(p.str("IpProtocol")), group: p.str("SourceGroupId")}
	if !slices.Contains([]string{"TCP", "UDP", "ICMP", "ALL"}, r.proto) {
		return rule{}, fault(400, "InvalidIpProtocol.ValueNotSupported", "The specified IpProtocol does not exist or IpProtocol and PortRange do not match.")
	}
	from, to, ok := strings.Cut(p.str("PortRange"), "/")
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	ports := r.proto == "TCP" || r.proto == "UDP"
	switch {
	case !ok || errA != nil || errB != nil:
		return rule{}, fault(400, "InvalidPortRange.Malformed", "The specified parameter \"PortRange\" is not valid.")
	case ports && (a < 1 || a > b || b > 65535), !ports && (a != -1 || b != -1):
		return rule{}, fault(400, "InvalidPortRange.Malformed", "The specified parameter \"PortRange\" is not valid.")
	case !strings.EqualFold(p.str("Policy"), "accept") && p.str("Policy") != "":
		return rule{}, fault(400, "UnsupportedParameter", "Policy %.20q is not simulated.", p.str("Policy"))
	}
	r.from, r.to = a, b
	if r.group != "" {
		if g, ok := c.r.groups.Get(r.group); !ok || p.str("SourceCidrIp") != "" {
			return rule{}, fault(404, "InvalidSourceGroupId.NotFound", "The specified SourceGroupId does not exist: %v.", g)
		}
		return r, nil
	}
	text := p.str("SourceCidrIp")
	if !strings.Contains(text, "/") {
		text += "/32"
	}
	cidr, err := netip.ParsePrefix(text)
	if err != nil || !cidr.Addr().Is4() {
		return rule{}, fault(400, "InvalidSourceCidrIp.Malformed", "The specified parameter \"SourceCidrIp\" is not valid.")
	}
	r.cidr = cidr.Masked()
	return r, nil
}

// authorizeSecurityGroup adds rules; one that exists is no error.
func authorizeSecurityGroup(c *call) (obj, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	rules, err := c.rules()
	switch {
	case err != nil:
		return nil, err
	case len(rules) == 0:
		return nil, missing("Permissions")
	}
	all := slices.Clone(g.rules)
	for _, r := range rules {
		if !slices.ContainsFunc(all, r.same) {
			all = append(all, r)
		}
	}
	if len(all) > maxRules {
		return nil, fault(403, "AuthorizationLimitExceed", "The limit of authorization records in the security group reaches.")
	}
	g.rules = all
	return obj{}, c.enforce(g.vpc)
}

// revokeSecurityGroup removes rules, by id or by what they say; one that does
// not exist is no error.
func revokeSecurityGroup(c *call) (obj, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	ids := c.q.list("SecurityGroupRuleId")
	rules, err := c.rules()
	switch {
	case err != nil:
		return nil, err
	case len(rules)+len(ids) == 0:
		return nil, missing("SecurityGroupRuleId")
	}
	g.rules = slices.DeleteFunc(g.rules, func(r rule) bool {
		return slices.Contains(ids, r.id) || slices.ContainsFunc(rules, r.same)
	})
	return obj{}, c.enforce(g.vpc)
}
