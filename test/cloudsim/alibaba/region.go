package alibaba

import (
	_ "embed"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// placesFile lists the regions with their zones; it tells its source and date.
//
//go:embed places.txt
var placesFile string

// place is a region as the vendor has it.
type place struct {
	region string
	zones  []string // ids
	name   string
}

// places reads placesFile: REGION ZONES NAME, where ZONES are the last letters
// of the zones' ids. An id is the region's and the letter, with a hyphen
// between where the region's does not end in a digit.
func places() []place {
	var out []place
	for line := range strings.Lines(placesFile) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "#" {
			continue
		}
		p := place{region: f[0], name: strings.Join(f[2:], " ")}
		glue := "-"
		if last := f[0][len(f[0])-1]; last >= '0' && last <= '9' {
			glue = ""
		}
		for _, letter := range f[1] {
			p.zones = append(p.zones, f[0]+glue+string(letter))
		}
		out = append(out, p)
	}
	return out
}

// region holds what clients made in a region.
type region struct {
	place
	vpcs      sim.Table[*vpc]
	vswitches sim.Table[*vswitch]
	groups    sim.Table[*group]
	keys      sim.Table[*keyPair] // by name
	instances sim.Table[*instance]
	events    sim.Table[*event]
	tokens    map[string]answered
}

func newRegion(p place) *region { return &region{place: p, tokens: map[string]answered{}} }

// regionOf returns the region of a request: the one it names, else that of the
// object it names, which in the real service the address of the endpoint tells.
func (c *Cloud) regionOf(q query) (*region, error) {
	if name := q.str("RegionId"); name != "" {
		r, ok := c.regions[name]
		if !ok {
			return nil, fault(404, "InvalidRegionId.NotFound", "The specified RegionId does not exist.")
		}
		return r, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range sortedKeys(c.regions) {
		r := c.regions[name]
		_, instance := r.instances.Get(q.str("InstanceId"))
		_, vpc := r.vpcs.Get(q.str("VpcId"))
		_, vswitch := r.vswitches.Get(q.str("VSwitchId"))
		if instance || vpc || vswitch {
			return r, nil
		}
	}
	return c.regions["cn-hangzhou"], nil
}

// stamps of answers.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }
func second(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// visible reports whether an object made at that time is found by now.
func (c *call) visible(made time.Time) bool {
	return c.now().Sub(made) >= max(c.opts.Hidden, c.opts.Faults.Hidden())
}
