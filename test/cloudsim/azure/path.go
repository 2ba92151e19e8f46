package azure

import (
	"net/http"
	"strings"
)

// path is what a request's path, or an id, names.
type path struct {
	subscription, group, provider, kind, name, location string
	publisher, offer, sku, version                      string // of an image
}

// set stores a segment by its name in a pattern.
func (p *path) set(name, value string) {
	switch name {
	case "subscription":
		p.subscription = value
	case "group":
		p.group = value
	case "provider":
		p.provider = value
	case "name":
		p.name = value
	case "location":
		p.location = value
	case "publisher":
		p.publisher = value
	case "offer":
		p.offer = value
	case "sku":
		p.sku = value
	case "version":
		p.version = value
	}
}

// get returns a segment by its name in a pattern.
func (p path) get(name string) string {
	return map[string]string{
		"subscription": p.subscription, "group": p.group, "provider": p.provider, "name": p.name, "location": p.location,
		"publisher": p.publisher, "offer": p.offer, "sku": p.sku, "version": p.version,
	}[name]
}

// id returns the id of the resource in a group, as ARM writes it.
func (p path) id() string {
	return p.groupPath() + "/providers/" + p.provider + "/" + p.kind + "/" + p.name
}

func (p path) groupPath() string {
	return "/subscriptions/" + p.subscription + "/resourceGroups/" + p.group
}

// key and groupID are the ids in lower case: ids are the same in every case.
func (p path) key() string     { return strings.ToLower(p.id()) }
func (p path) groupID() string { return strings.ToLower(p.groupPath()) }

// at returns the path of another resource in the same group.
func (p path) at(provider, kind, name string) path {
	return path{subscription: p.subscription, group: p.group, provider: provider, kind: kind, name: name}
}

// match reads a path by a pattern, whose segments in braces are names. Cases are
// not looked at. Kind becomes the last plain segment before the name.
func match(pattern, path_ string) (path, bool) {
	want, have := strings.Split(strings.Trim(pattern, "/"), "/"), strings.Split(strings.Trim(path_, "/"), "/")
	if len(want) != len(have) {
		return path{}, false
	}
	var p path
	for i, w := range want {
		if strings.HasPrefix(w, "{") {
			if have[i] == "" {
				return path{}, false
			}
			name := strings.Trim(w, "{}")
			p.set(name, have[i])
			if name == "name" && i > 0 {
				p.kind = want[i-1]
			}
			continue
		}
		if !strings.EqualFold(w, have[i]) {
			return path{}, false
		}
		if i > 0 && want[i-1] == "providers" {
			p.provider = w
		}
		if p.kind == "" && i == len(want)-1 {
			p.kind = w
		}
	}
	return p, true
}

// fill writes a path by a pattern, in the cases of the pattern, which are those
// that the fake servers want.
func fill(pattern string, p path) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = p.get(strings.Trim(s, "{}"))
		}
	}
	return strings.Join(segments, "/")
}

// route finds what a request is for. The request's path gets the cases that the
// fake servers want.
func (c *Cloud) route(req *http.Request) (route, path, bool) {
	for _, r := range routes() {
		if r.method != req.Method {
			continue
		}
		if p, ok := match(r.path, req.URL.Path); ok {
			req.URL.Path, req.URL.RawPath = fill(r.path, p), ""
			return r, p, true
		}
	}
	return route{}, path{}, false
}
