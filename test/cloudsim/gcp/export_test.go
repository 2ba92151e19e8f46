package gcp

import "net/http"

// Filter reports whether a filter keeps a document.
func Filter(filter string, doc any) (bool, error) {
	f, err := parseFilter(filter)
	if err != nil {
		return false, err
	}
	return f.match(doc)
}

// Metadata returns the metadata server of an instance of the credentials'
// project.
func (c *Cloud) Metadata(zone, name string) http.Handler {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projectLocked(c.opts.Project)
	i, _ := p.instances.Get("zones/" + zone + "/instances/" + name)
	return p.metadataService(i)
}

// ZoneCount returns how many regions and zones there are.
func (c *Cloud) ZoneCount() (regions, zones int) { return len(c.regions), len(c.zoneNames()) }
