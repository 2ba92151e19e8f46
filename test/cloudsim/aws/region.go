package aws

import (
	"net/netip"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// regionZones maps the regions to the letters of their zones, as AWS has them.
func regionZones() map[string]string {
	return map[string]string{
		"af-south-1": "abc", "ap-east-1": "abc", "ap-northeast-1": "acd", "ap-northeast-2": "abcd",
		"ap-northeast-3": "abc", "ap-south-1": "abc", "ap-south-2": "abc", "ap-southeast-1": "abc",
		"ap-southeast-2": "abc", "ap-southeast-3": "abc", "ap-southeast-4": "abc", "ap-southeast-5": "abc",
		"ap-southeast-7": "abc", "ca-central-1": "abd", "ca-west-1": "abc", "eu-central-1": "abc",
		"eu-central-2": "abc", "eu-north-1": "abc", "eu-south-1": "abc", "eu-south-2": "abc",
		"eu-west-1": "abc", "eu-west-2": "abc", "eu-west-3": "abc", "il-central-1": "abc",
		"me-central-1": "abc", "me-south-1": "abc", "mx-central-1": "abc", "sa-east-1": "abc",
		"us-east-1": "abcdef", "us-east-2": "abc", "us-west-1": "ac", "us-west-2": "abcd",
	}
}

// region holds everything that exists in one region.
type region struct {
	name  string
	zones []string

	vpcs      sim.Table[*vpc]
	subnets   sim.Table[*subnet]
	gateways  sim.Table[*gateway]
	tables    sim.Table[*routeTable]
	groups    sim.Table[*group]
	enis      sim.Table[*eni]
	addresses sim.Table[*address]
	keys      sim.Table[*keyPair]
	instances sim.Table[*instance]
	templates sim.Table[*template]

	tags     map[string]map[string]string // by id of the resource, made by clients
	launches map[string]launch            // by client token
}

// newRegion returns a region with its default VPC, as every account has one.
func newRegion(name, letters string) *region {
	r := &region{name: name, tags: map[string]map[string]string{}, launches: map[string]launch{}}
	for _, l := range letters {
		r.zones = append(r.zones, name+string(l))
	}
	v := r.addVPC(netip.MustParsePrefix("172.31.0.0/16"))
	v.isDefault = true
	gw := &gateway{id: newID("igw-"), vpc: v.id, implicit: true}
	r.gateways.Put(gw.id, gw)
	main := r.mainTable(v.id)
	main.routes = append(main.routes, route{to: netip.MustParsePrefix("0.0.0.0/0"), gateway: gw.id})
	for i, zone := range r.zones {
		cidr := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(i * 16), 0}), 20)
		s := &subnet{id: newID("subnet-"), vpc: v.id, cidr: cidr, zone: zone, isDefault: true, mapPublic: true}
		r.subnets.Put(s.id, s)
	}
	return r
}

// forget removes what is known of a resource beside itself.
func (r *region) forget(id string) { delete(r.tags, id) }

// expireLocked drops the instances that have been terminated for long enough.
func (c *Cloud) expireLocked() {
	now := c.now()
	for _, r := range c.regions {
		for _, i := range r.instances.All() {
			if i.state == stateTerminated && now.Sub(i.changed) > c.opts.KeepTerminated {
				r.instances.Delete(i.id)
				r.forget(i.id)
				delete(r.launches, i.token) // the token is forgotten with what it stands for
			}
		}
	}
}

// zoneID returns the account-independent id of a zone, as in apne2-az1.
func zoneID(regionName, zone string) string {
	short := ""
	part := 0
	for i, ch := range regionName {
		switch {
		case ch == '-':
			part++
		case part == 0 || ch >= '0' && ch <= '9':
			short += string(ch)
		case part == 1 && regionName[i-1] == '-':
			short += string(ch)
		case part == 1:
			// "northeast" is "ne": the start of its second word counts too
			for _, w := range []string{"east", "west"} {
				if len(regionName) >= i+len(w) && regionName[i:i+len(w)] == w {
					short += string(ch)
				}
			}
		}
	}
	return short + "-az" + string('1'+zone[len(zone)-1]-'a')
}
