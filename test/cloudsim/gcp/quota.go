package gcp

import (
	"strings"
)

// Limits of a project as it begins.
const (
	limitInstances = 240 // a region
	limitCPUs      = 72  // a region
	limitAddresses = 69  // in use, a region
	limitDisk      = 4096
	limitSSD       = 500
	limitAllCPUs   = 320 // a project
)

// usage is what the machines of some regions take.
type usage struct {
	machines, cpus, addresses, diskGB, ssdGB int
	families                                 map[string]int // cpus by machine family
}

// usage counts the machines of a region, "" for all.
func (p *project) usage(region string) usage {
	u := usage{families: map[string]int{}}
	for _, i := range p.instances.All() {
		if region != "" && i.region != region {
			continue
		}
		u.machines++
		u.cpus += i.machine.vcpu
		u.families[i.machine.family()] += i.machine.vcpu
		if i.access != nil {
			u.addresses++
		}
		if strings.HasPrefix(base(i.diskType), "pd-standard") {
			u.diskGB += diskGB
		} else {
			u.ssdGB += diskGB
		}
	}
	return u
}

// limit is that of the faults in force, or else the usual one.
func (c *Cloud) limit(region, kind string, usual int) float64 {
	if n, ok := c.opts.Faults.Quota(Name, region, kind); ok {
		return float64(n)
	}
	return float64(usual)
}

// quotas are the limits of a region.
func (p *project) quotas(region string) []quotaDoc {
	u := p.usage(region)
	return []quotaDoc{
		{"CPUS", p.limit(region, "vcpu", limitCPUs), float64(u.cpus)},
		{"DISKS_TOTAL_GB", limitDisk, float64(u.diskGB)},
		{"STATIC_ADDRESSES", 21, 0},
		{"IN_USE_ADDRESSES", p.limit(region, "publicIp", limitAddresses), float64(u.addresses)},
		{"SSD_TOTAL_GB", limitSSD, float64(u.ssdGB)},
		{"INSTANCES", p.limit(region, "vm", limitInstances), float64(u.machines)},
		{"N2_CPUS", limitCPUs, float64(u.families["n2"])},
		{"PREEMPTIBLE_CPUS", 0, 0},
		{"COMMITTED_CPUS", 0, 0},
	}
}

type projectDoc struct {
	Kind     string      `json:"kind"`
	ID       uint64      `json:"id,string"`
	Created  string      `json:"creationTimestamp"`
	Name     string      `json:"name"`
	Metadata metadataDoc `json:"commonInstanceMetadata"`
	Quotas   []quotaDoc  `json:"quotas"`
	Account  string      `json:"defaultServiceAccount"`
	Tier     string      `json:"defaultNetworkTier"`
	XPN      string      `json:"xpnProjectStatus"`
	SelfLink string      `json:"selfLink"`
}

func getProject(c *call) (any, error) {
	p := c.p
	return projectDoc{
		Kind: "compute#project", ID: stableID(p.id), Created: catalogDate, Name: p.id, Metadata: metadataDoc{Kind: "compute#metadata", Fingerprint: fingerprint(p.id)},
		Quotas: []quotaDoc{
			{"NETWORKS", p.limit("", "network", 15), float64(p.networks.Len())},
			{"FIREWALLS", p.limit("", "securityGroup", 100), float64(p.firewalls.Len())},
			{"SUBNETWORKS", p.limit("", "subnet", 100), float64(p.subnetworks.Len())},
			{"ROUTERS", p.limit("", "router", 10), float64(p.routers.Len())},
			{"CPUS_ALL_REGIONS", limitAllCPUs, float64(p.usage("").cpus)},
		},
		Account: utoa(p.number()) + "-compute@developer.gserviceaccount.com", Tier: "PREMIUM", XPN: "UNSPECIFIED_XPN_PROJECT_STATUS",
		SelfLink: linkBase + "projects/" + p.id,
	}, nil
}

// admitMachine decides whether there is room for one more machine.
func (c *call) admitMachine(i *instance) error {
	u := c.p.usage(i.region)
	if err := c.checkQuota("vm", "INSTANCES", i.region, u.machines); err != nil {
		return err
	}
	if i.access != nil {
		if err := c.checkQuota("publicIp", "IN_USE_ADDRESSES", i.region, u.addresses); err != nil {
			return err
		}
	}
	if limit, ok := c.opts.Faults.Quota(Name, i.region, "vcpu"); ok && u.cpus+i.machine.vcpu > limit {
		return quotaExceeded("CPUS", limit, "in region "+i.region)
	}
	return nil
}
