package azure

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// rule is one of a security group.
type rule struct {
	name     string
	priority int
	ingress  bool
	allow    bool
	protocol string   // "*", "Tcp", "Udp", "Icmp"
	remote   []string // prefixes and service tags of the other side, "*" for all
	ports    []ports  // of the destination
}

// ports is a range of ports; all of them from 0 to 65535.
type ports struct{ from, to int }

var allPorts = ports{0, 65535}

// defaultRules are those that every group ends with.
var defaultRules = []rule{
	{"AllowVnetInBound", 65000, true, true, "*", []string{"VirtualNetwork"}, []ports{allPorts}},
	{"AllowAzureLoadBalancerInBound", 65001, true, true, "*", []string{"AzureLoadBalancer"}, []ports{allPorts}},
	{"DenyAllInBound", 65500, true, false, "*", []string{"*"}, []ports{allPorts}},
	{"AllowVnetOutBound", 65000, false, true, "*", []string{"VirtualNetwork"}, []ports{allPorts}},
	{"AllowInternetOutBound", 65001, false, true, "*", []string{"Internet"}, []ports{allPorts}},
	{"DenyAllOutBound", 65500, false, false, "*", []string{"*"}, []ports{allPorts}},
}

func badRule(name, text string) *apiError {
	return fault(400, "SecurityRuleInvalidParameter", "Security rule %s is not valid: %s.", name, text)
}

// readRule checks a rule that a client sent.
func readRule(in *armnetwork.SecurityRule) (rule, *apiError) {
	if in == nil || or(in.Name, "") == "" || in.Properties == nil {
		return rule{}, badRule("", "it has no name or no properties")
	}
	p := in.Properties
	r := rule{name: *in.Name, priority: int(or(p.Priority, 0))}
	if r.priority < 100 || r.priority > 4096 {
		return r, badRule(r.name, "priority: want 100 to 4096")
	}
	switch strings.ToLower(string(or(p.Direction, ""))) {
	case "inbound":
		r.ingress = true
	case "outbound":
	default:
		return r, badRule(r.name, "direction: want Inbound or Outbound")
	}
	switch strings.ToLower(string(or(p.Access, ""))) {
	case "allow":
		r.allow = true
	case "deny":
	default:
		return r, badRule(r.name, "access: want Allow or Deny")
	}
	switch low := strings.ToLower(string(or(p.Protocol, ""))); low {
	case "*", "tcp", "udp", "icmp":
		r.protocol = strings.ToUpper(low[:1]) + low[1:]
	default:
		return r, badRule(r.name, "protocol: want Tcp, Udp, Icmp or *")
	}
	source, near := gather(p.SourceAddressPrefix, p.SourceAddressPrefixes), gather(p.DestinationAddressPrefix, p.DestinationAddressPrefixes)
	if !r.ingress {
		source, near = near, source
	}
	if len(source) == 0 || len(near) == 0 {
		return r, badRule(r.name, "an address prefix is missing")
	}
	for _, s := range source {
		if _, err := netip.ParsePrefix(s); err != nil && !known(s) {
			if _, err := netip.ParseAddr(s); err != nil {
				return r, fault(400, "SecurityRuleInvalidAddressPrefix", "Security rule has invalid Address prefix. Value provided: %s", s)
			}
		}
	}
	r.remote = source
	if near[0] != "*" || strings.Join(gather(p.SourcePortRange, p.SourcePortRanges), "") != "*" {
		return r, notSimulated("security rules for a part of the machines, or by source port")
	}
	if len(p.SourceApplicationSecurityGroups)+len(p.DestinationApplicationSecurityGroups) > 0 {
		return r, notSimulated("application security groups")
	}
	var err *apiError
	r.ports, err = readPorts(r.name, gather(p.DestinationPortRange, p.DestinationPortRanges))
	return r, err
}

// gather joins the two forms of a list.
func gather(one *string, many []*string) []string {
	var out []string
	if or(one, "") != "" {
		out = append(out, *one)
	}
	for _, s := range many {
		out = append(out, or(s, ""))
	}
	return out
}

// known tells whether a prefix is "*" or a service tag that is simulated.
func known(s string) bool {
	return s == "*" || s == "VirtualNetwork" || s == "Internet" || s == "AzureLoadBalancer"
}

func readPorts(name string, list []string) ([]ports, *apiError) {
	var out []ports
	for _, s := range list {
		if s == "*" {
			out = append(out, allPorts)
			continue
		}
		from, to, isRange := strings.Cut(s, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || a < 0 || b > 65535 || a > b {
			return nil, fault(400, "SecurityRuleInvalidPortRange", "Security rule %s has invalid Port range. Value provided: %s. Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535.", name, s)
		}
		out = append(out, ports{a, b})
	}
	if len(out) == 0 {
		return nil, badRule(name, "the destination port range is missing")
	}
	return out, nil
}

func (p ports) String() string {
	switch {
	case p == allPorts:
		return "*"
	case p.from == p.to:
		return strconv.Itoa(p.from)
	}
	return strconv.Itoa(p.from) + "-" + strconv.Itoa(p.to)
}

// doc shows a rule as one of a group's.
func (r rule) doc(s *security, kind string, state armnetwork.ProvisioningState) *armnetwork.SecurityRule {
	p := &armnetwork.SecurityRulePropertiesFormat{
		Priority: ptr(int32(r.priority)), Protocol: ptr(armnetwork.SecurityRuleProtocol(r.protocol)), ProvisioningState: &state,
		Direction: ptr(armnetwork.SecurityRuleDirectionOutbound), Access: ptr(armnetwork.SecurityRuleAccessDeny),
		SourcePortRange: ptr("*"), SourceAddressPrefix: ptr("*"), DestinationAddressPrefix: ptr("*"),
	}
	if r.allow {
		p.Access = ptr(armnetwork.SecurityRuleAccessAllow)
	}
	one, many := &p.DestinationAddressPrefix, &p.DestinationAddressPrefixes
	if r.ingress {
		p.Direction = ptr(armnetwork.SecurityRuleDirectionInbound)
		one, many = &p.SourceAddressPrefix, &p.SourceAddressPrefixes
	}
	if len(r.remote) == 1 {
		*one = &r.remote[0]
	} else {
		*one, *many = nil, ptrs(r.remote)
	}
	var texts []string
	for _, v := range r.ports {
		texts = append(texts, v.String())
	}
	if len(texts) == 1 {
		p.DestinationPortRange = &texts[0]
	} else {
		p.DestinationPortRanges = ptrs(texts)
	}
	return &armnetwork.SecurityRule{
		ID: ptr(s.id() + "/" + kind + "/" + r.name), Name: ptr(r.name), Type: ptr(networking + "/networkSecurityGroups/" + kind), Etag: s.etag(r), Properties: p,
	}
}

func ptrs(list []string) []*string {
	var out []*string
	for _, s := range list {
		out = append(out, &s)
	}
	return out
}
