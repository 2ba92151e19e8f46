// Package discovery checks HTTP traffic against a Google API's discovery
// document, the vendor's own description of every method and every field:
// https://developers.google.com/discovery/v1/reference/apis.
//
// [Load] reads a document. [API.Transport] goes around a client's transport and
// reports each request and each reply that is not as the document says: unknown
// paths, methods, parameters and fields, missing ones, wrong types, formats,
// patterns and enumerated values. It knows no API in particular.
package discovery

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
)

// API is what a discovery document describes.
type API struct {
	Revision string // of the document
	base     string // path before all methods, with slashes: "/compute/v1/"
	common   map[string]*schema
	schemas  map[string]*schema
	methods  []*method
}

// document is the part of a discovery document that is read.
type document struct {
	Revision  string               `json:"revision"`
	BasePath  string               `json:"basePath"`
	Common    map[string]*schema   `json:"parameters"`
	Schemas   map[string]*schema   `json:"schemas"`
	Resources map[string]*resource `json:"resources"`
}

type resource struct {
	Methods   map[string]*method   `json:"methods"`
	Resources map[string]*resource `json:"resources"`
}

// method is a method of the API.
type method struct {
	ID         string             `json:"id"`
	Path       string             `json:"flatPath"`
	HTTP       string             `json:"httpMethod"`
	Parameters map[string]*schema `json:"parameters"`
	Request    *schema            `json:"request"`
	Response   *schema            `json:"response"`

	path *regexp.Regexp // below the base, with a named group for each parameter
}

// schema describes a value.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        string             `json:"type"`
	Format      string             `json:"format"`
	Pattern     string             `json:"pattern"`
	Enum        []string           `json:"enum"`
	Minimum     string             `json:"minimum"`
	Maximum     string             `json:"maximum"`
	Required    bool               `json:"required"` // of a parameter
	Repeated    bool               `json:"repeated"` // of a parameter
	Location    string             `json:"location"` // of a parameter
	ReadOnly    bool               `json:"readOnly"`
	Description string             `json:"description"`
	Properties  map[string]*schema `json:"properties"`
	Additional  *schema            `json:"additionalProperties"`
	Items       *schema            `json:"items"`
	Annotations struct {
		Required []string `json:"required"` // ids of the methods that need the field
	} `json:"annotations"`
}

// Load reads a discovery document.
func Load(file string) (*API, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("discovery document %s: %w", file, err)
	}
	a := &API{Revision: d.Revision, base: d.BasePath, common: d.Common, schemas: d.Schemas}
	if err := a.collect(d.Resources); err != nil {
		return nil, fmt.Errorf("discovery document %s: %w", file, err)
	}
	if len(a.methods) == 0 || len(a.schemas) == 0 {
		return nil, fmt.Errorf("discovery document %s: it describes nothing", file)
	}
	return a, nil
}

var pathParameter = regexp.MustCompile(`\{\+?([A-Za-z0-9_]+)\}`)

// collect takes over the methods of resources, in a stable order.
func (a *API) collect(all map[string]*resource) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		r := all[name]
		for _, m := range slices.Sorted(maps.Keys(r.Methods)) {
			method := r.Methods[m]
			var err error
			method.path, err = regexp.Compile("^" + pathParameter.ReplaceAllString(method.Path, "(?P<$1>[^/]+)") + "$")
			if err != nil {
				return err
			}
			a.methods = append(a.methods, method)
		}
		if err := a.collect(r.Resources); err != nil {
			return err
		}
	}
	return nil
}

// find returns the method that a request calls, and the parameters in its path.
func (a *API) find(r *http.Request) (*method, map[string]string, error) {
	_, path, ok := strings.Cut(r.URL.Path, a.base)
	if !ok {
		return nil, nil, fmt.Errorf("%s %s: not below %s", r.Method, r.URL.Path, a.base)
	}
	for _, m := range a.methods {
		match := m.path.FindStringSubmatch(path)
		if match == nil || m.HTTP != r.Method {
			continue
		}
		params := map[string]string{}
		for i, name := range m.path.SubexpNames() {
			if i > 0 {
				params[name] = match[i]
			}
		}
		return m, params, nil
	}
	return nil, nil, fmt.Errorf("%s %s: no method of the API", r.Method, path)
}
