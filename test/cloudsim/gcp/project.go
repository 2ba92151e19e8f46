package gcp

import (
	"hash/crc32"
	"regexp"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// project holds everything that exists in one project. The keys of the tables
// are the resources' paths below the project: "global/networks/NAME".
type project struct {
	*Cloud
	id string

	networks    sim.Table[*network]
	subnetworks sim.Table[*subnetwork]
	firewalls   sim.Table[*firewall]
	routers     sim.Table[*router]
	instances   sim.Table[*instance]
	operations  sim.Table[*operation]
	requests    map[string]request // by request id
}

// request is a call that was made with a request id.
type request struct {
	call string // method and path
	op   *operation
	at   time.Time
}

// projectRule is the form of a project's id.
var projectRule = regexp.MustCompile(`^(?:[a-z][-a-z0-9.]{0,61}:)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$`)

// projectLocked returns a project; every one exists.
func (c *Cloud) projectLocked(id string) *project {
	p := c.projects[id]
	if p == nil {
		p = &project{Cloud: c, id: id, requests: map[string]request{}}
		c.projects[id] = p
	}
	return p
}

// number is the project's number.
func (p *project) number() uint64 { return 100000000000 + uint64(crc32.ChecksumIEEE([]byte(p.id))) }

// header is what all resources have.
type header struct {
	id      uint64
	name    string
	path    string // below the project
	created time.Time
	// busy is the operation that makes or unmakes the resource, nil once it is
	// ready.
	busy *operation
}

// link returns the URL of a path below the project.
func (p *project) link(path string) string { return linkBase + "projects/" + p.id + "/" + path }

// linkBase begins all links, wherever the API is served.
const linkBase = "https://www.googleapis.com/compute/v1/"

// stamp prints a time as the API does: in Google's own time zone.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(time.FixedZone("", -8*3600)).Format("2006-01-02T15:04:05.000-07:00")
}
