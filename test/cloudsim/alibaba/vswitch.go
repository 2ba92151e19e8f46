package alibaba

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// vswitch is a subnet of a VPC in one zone.
type vswitch struct {
	id, name, description, vpc, zone string
	cidr                             netip.Prefix
	tags                             map[string]string
	made, going                      time.Time
}

// A VSwitch that is being deleted says Pending, as one that is being made.
func (c *call) switchState(s *vswitch) string { return c.state(s.made, s.going, pending) }

func createVSwitch(c *call) (obj, error) {
	n, d, tags, err := c.q.labelled("VSwitchName", 1)
	if err != nil {
		return nil, err
	}
	v, err := c.vpc(c.q.str("VpcId"))
	if err != nil {
		return nil, err
	}
	zone := c.q.str("ZoneId")
	cidr, err := netip.ParsePrefix(c.q.str("CidrBlock"))
	switch {
	case !slices.Contains(c.r.zones, zone):
		return nil, fault(404, "InvalidZoneId.NotFound", "Specified value of \"ZoneId\" is not exists.")
	case err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 16 || cidr.Bits() > 29 ||
		!v.cidr.Contains(cidr.Addr()) || cidr.Bits() < v.cidr.Bits():
		return nil, fault(400, "InvalidCidrBlock.Malformed", "Specified CIDR block is not valid.")
	case c.vpcState(v) != available:
		return nil, fault(400, "IncorrectVpcStatus", "Current VPC status does not support this operation.")
	case c.r.vswitches.Any(func(s *vswitch) bool { return s.vpc == v.id && s.cidr.Overlaps(cidr) }):
		return nil, fault(400, "InvalidCidrBlock.Overlapped", "Specified CIDR block overlapped with other subnets.")
	}
	s := &vswitch{id: newID("vsw-"), name: n, description: d, vpc: v.id, zone: zone, cidr: cidr, tags: tags, made: c.now()}
	c.r.vswitches.Put(s.id, s)
	return obj{"VSwitchId": s.id}, nil
}

func describeVSwitches(c *call) (obj, error) {
	want := map[string]func(*vswitch) string{
		"VpcId": func(s *vswitch) string { return s.vpc }, "VSwitchId": func(s *vswitch) string { return s.id },
		"VSwitchName": func(s *vswitch) string { return s.name }, "ZoneId": func(s *vswitch) string { return s.zone },
	}
	rows := c.r.vswitches.Where(func(s *vswitch) bool {
		for param, value := range want {
			if w := c.q.str(param); w != "" && !slices.Contains(strings.Split(w, ","), value(s)) {
				return false
			}
		}
		return c.visible(s.made) && c.q.str("IsDefault") != "true" && c.q.matches(s.tags)
	})
	rows, out, err := page(c.q, rows, 50, 10)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, s := range rows {
		list = append(list, obj{
			"VSwitchId": s.id, "VSwitchName": s.name, "Description": s.description, "VpcId": s.vpc, "ZoneId": s.zone,
			"CidrBlock": s.cidr.String(), "Status": c.switchState(s), "CreationTime": second(s.made), "IsDefault": false,
			"AvailableIpAddressCount": c.r.free(s), "Tags": vpcTags(s.tags),
		})
	}
	out["VSwitches"] = obj{"VSwitch": list}
	return out, nil
}

func (c *call) vswitch(id string) (*vswitch, error) {
	s, ok := c.r.vswitches.Get(id)
	if !ok {
		return nil, fault(404, "InvalidVSwitchId.NotFound", "Specified vSwitch does not exist.")
	}
	return s, nil
}

func deleteVSwitch(c *call) (obj, error) {
	s, err := c.vswitch(c.q.str("VSwitchId"))
	switch {
	case err != nil:
		return nil, err
	case c.r.instances.Any(func(i *instance) bool { return i.vswitch == s.id }):
		return nil, fault(400, "DependencyViolation", "Specified object has dependent resources.")
	case c.switchState(s) != available:
		return nil, fault(400, "IncorrectVSwitchStatus", "Current vSwitch status does not support this operation.")
	}
	s.going = c.now()
	return obj{}, nil
}

// usable reports whether machines may have an address: the first two and the
// last three are the network's, the router's and the system's.
func (s *vswitch) usable(ip netip.Addr) bool {
	last := s.cidr.Addr().As4()
	n := uint32(last[0])<<24 | uint32(last[1])<<16 | uint32(last[2])<<8 | uint32(last[3])
	a := ip.As4()
	offset := uint32(a[0])<<24 | uint32(a[1])<<16 | uint32(a[2])<<8 | uint32(a[3])
	offset -= n
	size := uint32(1) << (32 - s.cidr.Bits())
	return s.cidr.Contains(ip) && offset >= 2 && offset < size-4
}

// used are the addresses of a VSwitch that machines have.
func (r *region) used(s *vswitch) map[netip.Addr]bool {
	used := map[netip.Addr]bool{}
	for _, i := range r.instances.All() {
		if i.vswitch == s.id {
			used[i.ip] = true
		}
	}
	return used
}

// free is how many addresses of a VSwitch are left.
func (r *region) free(s *vswitch) int { return 1<<(32-s.cidr.Bits()) - 6 - len(r.used(s)) }

// pick returns an address that is free.
func (r *region) pick(s *vswitch) (netip.Addr, error) {
	used := r.used(s)
	for a := s.cidr.Addr(); s.cidr.Contains(a); a = a.Next() {
		if s.usable(a) && !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fault(403, "InvalidVSwitchId.IpNotEnough", "The specified VSwitch \"%s\" has not enough IpAddress.", s.id)
}
