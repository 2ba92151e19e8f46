package gcp

import (
	"hash/fnv"
	"regexp"
	"strings"
)

// nameRule is the form of the names that clients choose (RFC 1035).
var nameRule = regexp.MustCompile(`^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$`)

// checkName checks the name of a new resource.
func checkName(name string) error {
	switch {
	case name == "":
		return required("resource.name")
	case !nameRule.MatchString(name):
		return invalid("resource.name", name, "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'")
	}
	return nil
}

// maxDescription bounds a description, in characters.
const maxDescription = 2048

func checkDescription(s string) error {
	if len(s) > maxDescription {
		return invalid("resource.description", s[:32]+"...", "Must be at most %d characters", maxDescription)
	}
	return nil
}

// resource is a path as messages name it.
func (p *project) resource(path string) string { return "projects/" + p.id + "/" + path }

// parseRef reads a reference to a resource in any of the forms that the API
// takes: a URL, "projects/P/...", or a path below the project. It returns the
// project, the caller's own if it names none, and the path below it.
func (p *project) parseRef(ref string) (projectID, path string, ok bool) {
	if i := strings.Index(ref, "://"); i >= 0 {
		_, rest, found := strings.Cut(ref[i+3:], "/compute/v1/")
		if !found {
			return "", "", false
		}
		ref = rest
	}
	ref = strings.TrimPrefix(ref, "/")
	projectID = p.id
	if rest, found := strings.CutPrefix(ref, "projects/"); found {
		projectID, ref, found = strings.Cut(rest, "/")
		if !found {
			return "", "", false
		}
	}
	n := strings.Count(ref, "/")
	switch {
	case strings.HasPrefix(ref, "global/"):
		ok = n == 2 || n == 3 && strings.Contains(ref, "/images/family/")
	case strings.HasPrefix(ref, "regions/"), strings.HasPrefix(ref, "zones/"):
		ok = n == 1 || n == 3
	}
	return projectID, ref, ok
}

// own reads a reference to a resource of the caller's own project and of one
// kind: "networks".
func (p *project) own(field, ref, kind string) (string, error) {
	id, path, ok := p.parseRef(ref)
	if !ok || !strings.Contains(path, "/"+kind+"/") && !strings.HasPrefix(path, kind+"/") {
		return "", invalid(field, ref, "The URL is malformed.")
	}
	if id != p.id {
		return "", invalid(field, ref, "Cross project referencing is not allowed for this resource.")
	}
	return path, nil
}

// base returns what follows the last slash.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// scopeOf returns the part of a path before the kind: "global", "regions/R".
func scopeOf(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "global" || len(parts) < 2 {
		return parts[0]
	}
	return parts[0] + "/" + parts[1]
}

// stableID returns an id that is the same at every start.
func stableID(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()>>2 | 1<<60
}
