package azure

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:embed regions.tsv
var regionTable string

// region is a location of ARM's.
type region struct {
	name, display string
	zones         int
}

// readRegions reads the table of regions.
func readRegions() []region {
	var out []region
	for line := range strings.Lines(regionTable) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") || len(f) != 3 {
			continue
		}
		zones, _ := strconv.Atoi(f[2]) // a test reads the table too
		out = append(out, region{f[0], f[1], zones})
	}
	return out
}

// regionOf returns a region by its name or its display name, as ARM takes both;
// nil if there is none.
func (c *Cloud) regionOf(name string) *region {
	name = strings.ToLower(strings.ReplaceAll(name, " ", ""))
	for i, r := range c.regions {
		if r.name == name {
			return &c.regions[i]
		}
	}
	return nil
}

func (c *Cloud) regionNames() []string {
	var names []string
	for _, r := range c.regions {
		names = append(names, r.name)
	}
	return names
}

// zoneNames are the logical zones of a region.
func (r region) zoneNames() []string {
	var names []string
	for i := range r.zones {
		names = append(names, strconv.Itoa(i+1))
	}
	return names
}
