package aws

import (
	"strconv"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// kind describes a kind of resource: how its ids begin, and EC2's words for
// it. The words are not of one mould, and clients match on the codes.
type kind struct {
	prefix string // of the id
	name   string // type of the resource in tags
	code   string // of the not-found error
	noun   string // in messages
}

// Kinds of resources.
func kinds() []kind {
	return []kind{
		{"vpc-", "vpc", "InvalidVpcID", "vpc ID"},
		{"subnet-", "subnet", "InvalidSubnetID", "subnet ID"},
		{"igw-", "internet-gateway", "InvalidInternetGatewayID", "internetGateway ID"},
		{"rtb-", "route-table", "InvalidRouteTableID", "routeTable ID"},
		{"sgr-", "security-group-rule", "InvalidSecurityGroupRuleId", "security group rule ID"},
		{"sg-", "security-group", "InvalidGroup", "security group"},
		{"i-", "instance", "InvalidInstanceID", "instance ID"},
		{"eni-", "network-interface", "InvalidNetworkInterfaceID", "networkInterface ID"},
		{"eipalloc-", "elastic-ip", "InvalidAllocationID", "allocation ID"},
		{"key-", "key-pair", "InvalidKeyPair", "key pair"},
		{"lt-", "launch-template", "InvalidLaunchTemplateId", "launch template ID"},
		{"vol-", "volume", "InvalidVolume", "volume"},
	}
}

// kindOf returns the kind that an id is of, by its looks.
func kindOf(id string) (kind, bool) {
	for _, k := range kinds() {
		if strings.HasPrefix(id, k.prefix) {
			return k, true
		}
	}
	return kind{}, false
}

// notFound says that there is no resource of that id.
func notFound(prefix, id string) error {
	k, _ := kindOf(prefix)
	if !wellFormed(id, prefix) && id != "" && prefix != "key-" {
		code := k.code
		if code == "InvalidGroup" {
			code = "InvalidGroupId"
		}
		return fault(400, code+".Malformed", "Invalid id: %q (expecting %q)", id, prefix+"...")
	}
	return fault(400, k.code+".NotFound", "The %s '%s' does not exist", k.noun, id)
}

// wellFormed reports whether an id could be one of its kind: the prefix and 8
// or 17 hexadecimal digits.
func wellFormed(id, prefix string) bool {
	digits, ok := strings.CutPrefix(id, prefix)
	if !ok || len(digits) != 8 && len(digits) != 17 {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}

// find returns the row of an id, or the not-found error of its kind.
func find[T any](t *sim.Table[T], prefix, id string) (T, error) {
	row, ok := t.Get(id)
	if !ok {
		return row, notFound(prefix, id)
	}
	return row, nil
}

// findParam returns the row whose id a parameter gives.
func findParam[T any](c *call, t *sim.Table[T], prefix, name string) (T, error) {
	id, err := c.q.need(name)
	if err != nil {
		var none T
		return none, err
	}
	return find(t, prefix, id)
}

// typeOf returns the type of a resource, or why there is none of that id.
func (r *region) typeOf(id string) (string, error) {
	k, ok := kindOf(id)
	if !ok {
		return "", fault(400, "InvalidID", "The ID '%s' is not valid", id)
	}
	if !r.exists(k.prefix, id) {
		return "", notFound(k.prefix, id)
	}
	return k.name, nil
}

// exists reports whether there is a resource of that id.
func (r *region) exists(prefix, id string) bool {
	var ok bool
	switch prefix {
	case "vpc-":
		_, ok = r.vpcs.Get(id)
	case "subnet-":
		_, ok = r.subnets.Get(id)
	case "igw-":
		_, ok = r.gateways.Get(id)
	case "rtb-":
		_, ok = r.tables.Get(id)
	case "sgr-":
		_, _, ok = r.rule(id)
	case "sg-":
		_, ok = r.groups.Get(id)
	case "i-":
		_, ok = r.instances.Get(id)
	case "eni-":
		_, ok = r.enis.Get(id)
	case "eipalloc-":
		_, ok = r.addresses.Get(id)
	case "key-":
		ok = r.keys.Any(func(k *keyPair) bool { return k.id == id })
	case "vol-":
		ok = r.instances.Any(func(i *instance) bool { return i.volume == id && i.state != stateTerminated })
	}
	return ok
}

// selected returns the rows that a describe call asks for: those of the ids in
// the list at param, or all, as far as they match the filters.
func selected[T any](c *call, t *sim.Table[T], by selection[T]) ([]T, error) {
	rows := t.All()
	if ids := c.q.list(by.param); len(ids) > 0 {
		rows = rows[:0]
		for _, id := range ids {
			row, err := find(t, by.prefix, id)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	var kept []T
	for _, row := range rows {
		ok, err := match(c.q, c.r.tags[by.id(row)], func(f string) ([]string, bool) { return by.attrs(row, f) })
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// selection says how the rows of a table are selected.
type selection[T any] struct {
	param  string // the parameter that lists ids
	prefix string // of the ids
	id     func(T) string
	attrs  func(row T, filter string) ([]string, bool)
}

func itoa(n int) string { return strconv.Itoa(n) }
