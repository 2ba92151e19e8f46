package openstack

import (
	"fmt"
	"net/http"
	"strings"
)

// version is a microversion of the compute API.
type version struct{ major, minor int }

// The microversions that are served: those of the Zed release.
const (
	minMinor = 1
	maxMinor = 93
)

// String prints a microversion as clients do.
func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// atLeast reports whether a microversion has what came with 2.minor.
func (v version) atLeast(minor int) bool { return v.minor >= minor }

// negotiate reads the microversion that a client asks for.
func negotiate(h http.Header) (version, error) {
	text := h.Get("X-OpenStack-Nova-API-Version")
	for _, v := range h.Values("OpenStack-API-Version") {
		if service, rest, ok := strings.Cut(strings.TrimSpace(v), " "); ok && service == "compute" {
			text = strings.TrimSpace(rest)
		}
	}
	switch text {
	case "":
		return version{2, minMinor}, nil
	case "latest":
		return version{2, maxMinor}, nil
	}
	var v version
	if n, err := fmt.Sscanf(text, "%d.%d", &v.major, &v.minor); err != nil || n != 2 || v.String() != text {
		return version{}, fault(400, "API Version String %s is of invalid format. Must be of format MajorNum.MinorNum.", text)
	}
	if v.major != 2 || v.minor < minMinor || v.minor > maxMinor {
		return version{}, fault(406, "Version %s is not supported by the API. Minimum is 2.%d and maximum is 2.%d.", text, minMinor, maxMinor)
	}
	return v, nil
}

// link is how the services point at their objects.
type link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// keystoneVersion describes Keystone.
func (c *call) keystoneVersion() map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links":       []link{{"self", c.opts.URL + "/v3/"}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}
}

func keystoneVersions(c *call) (answer, error) {
	return answer{status: 300, body: map[string]any{"versions": map[string]any{"values": []any{c.keystoneVersion()}}}}, nil
}

func keystoneV3(c *call) (answer, error) {
	return answer{status: 200, body: map[string]any{"version": c.keystoneVersion()}}, nil
}

// novaVersion describes Nova.
func (c *call) novaVersion() map[string]any {
	return map[string]any{
		"id": "v2.1", "status": "CURRENT", "version": version{2, maxMinor}.String(), "min_version": version{2, minMinor}.String(),
		"updated": "2013-07-23T11:33:21Z", "links": []link{{"self", c.opts.URL + "/compute/v2.1/"}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}},
	}
}

func novaVersions(c *call) (answer, error) {
	return answer{status: 200, body: map[string]any{"versions": []any{c.novaVersion()}}}, nil
}

func novaV21(c *call) (answer, error) {
	return answer{status: 200, body: map[string]any{"version": c.novaVersion()}}, nil
}

func neutronVersions(c *call) (answer, error) {
	return answer{status: 200, body: map[string]any{"versions": []any{map[string]any{
		"id": "v2.0", "status": "CURRENT", "links": []link{{"self", c.opts.URL + "/network/v2.0/"}},
	}}}}, nil
}

func neutronV2(*call) (answer, error) {
	var resources []map[string]any
	for _, name := range []string{"network", "subnet", "port", "router", "security-group", "security-group-rule", "floatingip"} {
		resources = append(resources, map[string]any{"name": strings.ReplaceAll(name, "-", "_"), "collection": strings.ReplaceAll(name, "-", "_") + "s", "links": []link{}})
	}
	return answer{status: 200, body: map[string]any{"resources": resources}}, nil
}

func glanceVersions(c *call) (answer, error) {
	return answer{status: 300, body: map[string]any{"versions": []any{map[string]any{
		"id": "v2.15", "status": "CURRENT", "links": []link{{"self", c.opts.URL + "/image/v2/"}},
	}}}}, nil
}
