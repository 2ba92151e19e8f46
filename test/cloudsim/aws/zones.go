package aws

import (
	"slices"
	"strings"
)

type xmlRegion struct {
	Name     string `xml:"regionName"`
	Endpoint string `xml:"regionEndpoint"`
	OptIn    string `xml:"optInStatus"`
}

func describeRegions(c *call) (any, error) {
	wanted := c.q.list("RegionName")
	for _, name := range wanted {
		if _, ok := c.regions[name]; !ok {
			return nil, fault(400, "InvalidParameterValue", "Invalid region name '%s'", name)
		}
	}
	var rows []xmlRegion
	for _, name := range sortedKeys(c.regions) {
		x := xmlRegion{name, "ec2." + name + ".amazonaws.com", "opt-in-not-required"}
		ok, err := match(c.q, nil, fields(map[string][]string{
			"region-name": {name}, "endpoint": {x.Endpoint}, "opt-in-status": {x.OptIn},
		}))
		if err != nil {
			return nil, err
		}
		if ok && (len(wanted) == 0 || slices.Contains(wanted, name)) {
			rows = append(rows, x)
		}
	}
	return struct {
		Regions set[xmlRegion] `xml:"regionInfo"`
	}{set[xmlRegion]{rows}}, nil
}

type xmlZone struct {
	OptIn    string      `xml:"optInStatus"`
	Messages set[string] `xml:"messageSet"`
	Region   string      `xml:"regionName"`
	Name     string      `xml:"zoneName"`
	ID       string      `xml:"zoneId"`
	Group    string      `xml:"groupName"`
	Border   string      `xml:"networkBorderGroup"`
	Type     string      `xml:"zoneType"`
	State    string      `xml:"zoneState"`
}

func describeAvailabilityZones(c *call) (any, error) {
	names, ids := c.q.list("ZoneName"), c.q.list("ZoneId")
	for _, name := range names {
		if !slices.Contains(c.r.zones, name) {
			return nil, fault(400, "InvalidParameterValue", "Invalid availability zone: [%s]", name)
		}
	}
	var rows []xmlZone
	for _, name := range c.r.zones {
		x := xmlZone{
			OptIn: "opt-in-not-required", Region: c.r.name, Name: name, ID: zoneID(c.r.name, name),
			Group: c.r.name + "-zg-1", Border: c.r.name, Type: "availability-zone", State: "available",
		}
		ok, err := match(c.q, nil, fields(map[string][]string{
			"zone-name": {name}, "zone-id": {x.ID}, "region-name": {x.Region}, "state": {x.State},
			"zone-type": {x.Type}, "opt-in-status": {x.OptIn}, "group-name": {x.Group},
		}))
		if err != nil {
			return nil, err
		}
		if ok && (len(names) == 0 || slices.Contains(names, name)) && (len(ids) == 0 || slices.Contains(ids, x.ID)) {
			rows = append(rows, x)
		}
	}
	return struct {
		Zones set[xmlZone] `xml:"availabilityZoneInfo"`
	}{set[xmlZone]{rows}}, nil
}

// zoneOf reads the zone that a request names by name or id, "" for none.
func (c *call) zoneOf(nameParam, idParam string) (string, error) {
	name := c.q.str(nameParam)
	if id := c.q.str(idParam); id != "" && name == "" {
		for _, z := range c.r.zones {
			if zoneID(c.r.name, z) == id {
				return z, nil
			}
		}
		return "", invalid(idParam, id)
	}
	if name != "" && !slices.Contains(c.r.zones, name) {
		return "", fault(400, "InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: %s.",
			name, strings.Join(c.r.zones, ", "))
	}
	return name, nil
}

type xmlAttribute struct {
	Name   string                      `xml:"attributeName"`
	Values set[attributeValue[string]] `xml:"attributeValueSet"`
}

// attributeValue is a value of an account's attribute.
type attributeValue[T any] struct {
	Value T `xml:"attributeValue"`
}

func describeAccountAttributes(c *call) (any, error) {
	attr := func(name, v string) xmlAttribute {
		return xmlAttribute{name, set[attributeValue[string]]{[]attributeValue[string]{{v}}}}
	}
	defaultVPC := "none"
	for _, v := range c.r.vpcs.All() {
		if v.isDefault {
			defaultVPC = v.id
		}
	}
	all := []xmlAttribute{
		attr("supported-platforms", "VPC"), attr("default-vpc", defaultVPC), attr("max-instances", "20"),
		attr("vpc-max-security-groups-per-interface", "5"), attr("max-elastic-ips", "5"), attr("vpc-max-elastic-ips", "5"),
	}
	if wanted := c.q.list("AttributeName"); len(wanted) > 0 {
		all = slices.DeleteFunc(all, func(a xmlAttribute) bool { return !slices.Contains(wanted, a.Name) })
	}
	return struct {
		Attributes set[xmlAttribute] `xml:"accountAttributeSet"`
	}{set[xmlAttribute]{all}}, nil
}
