package guard

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// apiCall is one call of a vendor's API.
type apiCall struct {
	name string // "RunInstances", "POST /servers/{id}/action": bounded in number, without names and ids
	kind apiKind
}

// apiKind is what vendors have limits of their own for.
type apiKind string

const (
	apiRead   apiKind = "read"
	apiWrite  apiKind = "write"
	apiDelete apiKind = "delete"
)

// maxForm is how much of a form is searched for its action. Longer ones carry
// user-data, and the action comes first.
const maxForm = 1 << 20

// identify finds out which call a request is. Query protocols (EC2, Alibaba)
// say so in Action, in the URL or in a form; else it is method and path. The
// request returned is the one to send.
func identify(req *http.Request) (apiCall, *http.Request, error) {
	action := req.URL.Query().Get("Action")
	if action == "" && req.Body != nil && strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		head, err := io.ReadAll(io.LimitReader(req.Body, maxForm))
		if err != nil {
			return apiCall{}, nil, err
		}
		if form, err := url.ParseQuery(string(head)); err == nil {
			action = form.Get("Action")
		}
		body := req.Body
		req = req.Clone(req.Context())
		req.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), body), body}
	}
	if action != "" {
		return apiCall{action, actionKind(action)}, req, nil
	}
	path, literal := template(req.URL.Path)
	c := apiCall{req.Method + " " + path, apiWrite}
	switch {
	case req.Method == http.MethodGet, req.Method == http.MethodHead, literal == "tokens", literal == "token", literal == "wait":
		c.kind = apiRead
	case req.Method == http.MethodDelete:
		c.kind = apiDelete
	}
	return c, req, nil
}

func actionKind(action string) apiKind {
	starts := func(p string) bool { return strings.HasPrefix(action, p) }
	switch {
	case slices.ContainsFunc([]string{"Describe", "Get", "List"}, starts):
		return apiRead
	case slices.ContainsFunc([]string{"Delete", "Terminate", "Release", "Detach", "Disassociate", "Unassociate", "Revoke"}, starts):
		return apiDelete
	}
	return apiWrite
}

var (
	// fixed segments name no collection: versions, scopes, service roots.
	fixed = regexp.MustCompile(`^(v[0-9][a-z0-9.]*|compute|network|image|identity|global|aggregated|providers|Microsoft\.[A-Za-z]+)$`)
	// words follow a collection and are no names.
	words = []string{"detail", "details.json", "tokens", "token", "catalog", "projects", "usages", "skus", "vmSizes", "versions"}
)

// template replaces the names and ids in a REST path by {id}: they follow a
// collection, as in /servers/{id}/action. It returns the last segment too.
func template(path string) (string, string) {
	var out []string
	collection := false // the segment before is one
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for _, s := range segments {
		switch {
		case fixed.MatchString(s):
			collection = false
		case collection && !slices.Contains(words, s):
			s, collection = "{id}", false
		default:
			collection = true
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return "/", ""
	}
	return "/" + strings.Join(out, "/"), out[len(out)-1]
}
