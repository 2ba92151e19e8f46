package alibaba

import (
	"context"
	"net/http"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// DecodeQuery reads a request's parameters and prints them.
func DecodeQuery(raw, form string) (string, error) {
	q, err := decodeQuery(raw, form)
	if err != nil {
		return "", err
	}
	for _, n := range []string{"Tag", "Permissions", "ResourceId"} {
		_, _ = q.items(n), q.list(n)
	}
	return q.canonical(), nil
}

// Percent encodes a text for a signature.
func Percent(s string) string { return percent(s) }

// Places returns the zones of all regions.
func Places() map[string][]string {
	all := map[string][]string{}
	for _, p := range places() {
		all[p.region] = p.zones
	}
	return all
}

// Metadata returns the metadata service of an instance.
func (c *Cloud) Metadata(region, id string) http.Handler { return c.metadata(c.regions[region], id) }

// Rules returns what the fabric enforces for an instance.
func (c *Cloud) Rules(region, id string) []fabric.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(context.Background())
	i, ok := c.regions[region].instances.Get(id)
	if !ok {
		return nil
	}
	return i.rules
}
