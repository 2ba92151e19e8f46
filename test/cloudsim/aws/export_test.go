package aws

import "net/http"

// DecodeQuery reads a request's parameters and prints them.
func DecodeQuery(body string) (string, error) {
	q, err := decodeQuery(body)
	if err != nil {
		return "", err
	}
	for _, n := range []string{"Filter", "IpPermissions", "TagSpecification.1.Tag"} {
		_ = q.items(n)
		_ = q.list(n)
	}
	return q.canonical(), nil
}

// Wildcard reports whether a filter's value matches a text.
func Wildcard(pattern, s string) bool { return wildcard(pattern, s) }

// ZoneID returns the id of a zone.
func ZoneID(region, zone string) string { return zoneID(region, zone) }

// Metadata returns the metadata service of an instance.
func (c *Cloud) Metadata(region, id string) http.Handler { return c.metadata(c.regions[region], id) }
