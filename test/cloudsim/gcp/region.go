package gcp

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed zones.txt
var zoneTable string

// region is a region and the names of its zones.
type region struct {
	name  string
	zones []string
}

// regions reads the table of regions.
func regions() []region {
	var all []region
	for line := range strings.Lines(zoneTable) {
		name, letters, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		r := region{name: name}
		for _, l := range letters {
			r.zones = append(r.zones, name+"-"+string(l))
		}
		all = append(all, r)
	}
	return all
}

// zoneNames lists all zones.
func (c *Cloud) zoneNames() []string {
	var all []string
	for _, r := range c.regions {
		all = append(all, r.zones...)
	}
	return all
}

// regionOf returns the region of a zone.
func regionOf(zone string) string {
	if i := strings.LastIndexByte(zone, '-'); i > 0 {
		return zone[:i]
	}
	return ""
}

func (c *Cloud) isRegion(name string) bool {
	return slices.ContainsFunc(c.regions, func(r region) bool { return r.name == name })
}

func (c *Cloud) isZone(name string) bool { return slices.Contains(c.zoneNames(), name) }

type quotaDoc struct {
	Metric string  `json:"metric"`
	Limit  float64 `json:"limit"`
	Usage  float64 `json:"usage"`
}

type regionDoc struct {
	Kind        string     `json:"kind"`
	ID          uint64     `json:"id,string"`
	Created     string     `json:"creationTimestamp"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Status      string     `json:"status"`
	Zones       []string   `json:"zones"`
	Quotas      []quotaDoc `json:"quotas"`
	SelfLink    string     `json:"selfLink"`
}

// catalogDate is when everything in the catalog was made.
const catalogDate = "1969-12-31T16:00:00.000-08:00"

func (p *project) regionDoc(r region) regionDoc {
	d := regionDoc{
		Kind: "compute#region", ID: stableID(r.name), Created: catalogDate, Name: r.name, Description: r.name, Status: "UP",
		Quotas: p.quotas(r.name), SelfLink: p.link("regions/" + r.name),
	}
	for _, z := range r.zones {
		d.Zones = append(d.Zones, p.link("zones/"+z))
	}
	return d
}

func listRegions(c *call) (any, error) {
	return listOf(c, "compute#regionList", "regions", c.regions, c.p.regionDoc)
}

func getRegion(c *call) (any, error) {
	i := slices.IndexFunc(c.regions, func(r region) bool { return r.name == c.path("region") })
	if i < 0 {
		return nil, notFound(c.p.resource("regions/" + c.path("region")))
	}
	return c.p.regionDoc(c.regions[i]), nil
}

type zoneDoc struct {
	Kind        string `json:"kind"`
	ID          uint64 `json:"id,string"`
	Created     string `json:"creationTimestamp"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Status      string `json:"status"`
	Region      string `json:"region"`
	SelfLink    string `json:"selfLink"`
}

func (p *project) zoneDoc(name string) zoneDoc {
	return zoneDoc{
		Kind: "compute#zone", ID: stableID(name), Created: catalogDate, Name: name, Description: name, Status: "UP",
		Region: p.link("regions/" + regionOf(name)), SelfLink: p.link("zones/" + name),
	}
}

func listZones(c *call) (any, error) {
	return listOf(c, "compute#zoneList", "zones", c.zoneNames(), c.p.zoneDoc)
}

func getZone(c *call) (any, error) {
	if !c.isZone(c.path("zone")) {
		return nil, notFound(c.p.resource("zones/" + c.path("zone")))
	}
	return c.p.zoneDoc(c.path("zone")), nil
}
