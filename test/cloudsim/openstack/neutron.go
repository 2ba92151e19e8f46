package openstack

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// base is what all objects of Neutron have.
type base struct {
	id, name, description string
	tags                  []string
	created, updated      time.Time
	revision              int
	implicit              bool // not made by a client
}

// resource is an object of Neutron.
type resource interface {
	common() *base
	doc(c *Cloud) map[string]any
}

func (b *base) common() *base { return b }

// newBase returns what a new object starts with.
func (c *Cloud) newBase(name, description *string) base {
	now := c.now()
	return base{id: newID(), name: or(name, ""), description: or(description, ""), created: now, updated: now}
}

// touch records a change.
func (c *Cloud) touch(b *base) {
	b.revision++
	b.updated = c.now()
}

// stamp prints a time as the services do.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// docOf returns the attributes that all objects have.
func (c *Cloud) docOf(b *base, more map[string]any) map[string]any {
	d := map[string]any{
		"id": b.id, "name": b.name, "description": b.description, "tags": append([]string{}, b.tags...),
		"tenant_id": c.project, "project_id": c.project, "created_at": stamp(b.created), "updated_at": stamp(b.updated),
		"revision_number": b.revision,
	}
	maps.Copy(d, more)
	return d
}

// show answers with one object.
func show(status int, name string, d map[string]any) (answer, error) {
	return answer{status: status, body: map[string]any{name: d}}, nil
}

// find returns the object of an id.
func find[T any](t *sim.Table[T], noun, id string) (T, error) {
	row, ok := t.Get(id)
	if !ok {
		return row, neutronMissing(noun, id)
	}
	return row, nil
}

// reserved are the parameters of lists that are no attributes.
func reserved() []string {
	return []string{"fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse", "tags", "tags-any", "not-tags", "not-tags-any", "fixed_ips"}
}

// list answers with the objects of a table that the request's query selects.
func list[T resource](c *call, collection string, t *sim.Table[T]) (answer, error) {
	query := c.req.URL.Query()
	docs := []map[string]any{}
	for _, row := range t.All() {
		d := row.doc(c.Cloud)
		ok, err := selects(query, d)
		if err != nil {
			return answer{}, err
		}
		if ok {
			docs = append(docs, d)
		}
	}
	sortDocs(docs, query)
	docs, more, err := cut(docs, query)
	if err != nil {
		return answer{}, err
	}
	body := map[string]any{}
	if more != "" {
		query.Set("marker", more)
		body[collection+"_links"] = []link{{"next", c.opts.URL + c.req.URL.Path + "?" + query.Encode()}}
	}
	if names := query["fields"]; len(names) > 0 {
		for _, d := range docs {
			maps.DeleteFunc(d, func(k string, _ any) bool { return !slices.Contains(names, k) })
		}
	}
	body[collection] = docs
	return answer{status: 200, body: body}, nil
}

// selects reports whether an object has what a query asks for. A filter on what
// is no attribute is refused, as Neutron's filter validation does.
func selects(query url.Values, d map[string]any) (bool, error) {
	for name, wanted := range query {
		if slices.Contains(reserved(), name) {
			continue
		}
		if name == "security_group_ids" {
			name = "security_groups"
		}
		have, known := d[name]
		if !known {
			return false, neutronFault(400, "HTTPBadRequest", "[%q] is invalid attribute for filtering", name)
		}
		if !slices.ContainsFunc(wanted, func(w string) bool { return equalsText(have, w) }) {
			return false, nil
		}
	}
	have, _ := d["tags"].([]string)
	has := func(tag string) bool { return slices.Contains(have, tag) }
	tags := func(name string) []string {
		if query.Get(name) == "" {
			return nil
		}
		return strings.Split(query.Get(name), ",")
	}
	lacks := func(tag string) bool { return !has(tag) }
	switch {
	case slices.ContainsFunc(tags("tags"), lacks),
		len(tags("tags-any")) > 0 && !slices.ContainsFunc(tags("tags-any"), has),
		len(tags("not-tags")) > 0 && !slices.ContainsFunc(tags("not-tags"), lacks),
		slices.ContainsFunc(tags("not-tags-any"), has):
		return false, nil
	}
	return selectsFixed(query["fixed_ips"], d["fixed_ips"]), nil
}

// selectsFixed answers the filter of ports by address and subnet.
func selectsFixed(filters []string, have any) bool {
	fixed, _ := have.([]fixedIP)
	for _, f := range filters {
		key, v, _ := strings.Cut(f, "=")
		if !slices.ContainsFunc(fixed, func(ip fixedIP) bool {
			switch key {
			case "ip_address":
				return ip.Address == v
			case "subnet_id":
				return ip.Subnet == v
			case "ip_address_substr":
				return strings.Contains(ip.Address, v)
			default:
				return false
			}
		}) {
			return false
		}
	}
	return true
}

// equalsText compares an attribute with a value of a query.
func equalsText(have any, want string) bool {
	switch have := have.(type) {
	case nil:
		return want == "" || want == "None"
	case bool:
		b, err := strconv.ParseBool(strings.ToLower(want))
		return err == nil && b == have
	case []string:
		return slices.Contains(have, want)
	default:
		return fmt.Sprint(have) == want
	}
}

// sortDocs sorts objects by the keys of a query.
func sortDocs(docs []map[string]any, query url.Values) {
	keys, dirs := query["sort_key"], query["sort_dir"]
	for i := len(keys) - 1; i >= 0; i-- {
		sign := 1
		if i < len(dirs) && dirs[i] == "desc" {
			sign = -1
		}
		slices.SortStableFunc(docs, func(a, b map[string]any) int {
			return sign * strings.Compare(fmt.Sprint(a[keys[i]]), fmt.Sprint(b[keys[i]]))
		})
	}
}

// cut returns the page that limit and marker select, and the marker of the
// next one, "" at the end.
func cut(docs []map[string]any, query url.Values) ([]map[string]any, string, error) {
	if marker := query.Get("marker"); marker != "" {
		i := slices.IndexFunc(docs, func(d map[string]any) bool { return d["id"] == marker })
		if i < 0 {
			return nil, "", neutronFault(400, "HTTPBadRequest", "The marker %s could not be found.", marker)
		}
		docs = docs[i+1:]
	}
	text := query.Get("limit")
	if text == "" {
		return docs, "", nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 0 {
		return nil, "", neutronFault(400, "HTTPBadRequest", "Invalid limit value: %s", text)
	}
	if limit == 0 || len(docs) <= limit {
		return docs, "", nil
	}
	docs = docs[:limit]
	last, _ := docs[limit-1]["id"].(string)
	return docs, last, nil
}

// quota refuses one more object of a kind when the limit is reached. The kind
// is the inventory's, the resource is Neutron's name for it.
func (c *call) quota(kind, resourceName string, have int) error {
	if limit, ok := c.opts.Faults.Quota(Name, Region, kind); ok && have >= limit {
		return neutronFault(409, "OverQuota", "Quota exceeded for resources: ['%s'].", resourceName)
	}
	return nil
}

// own counts the objects that clients made.
func own[T resource](t *sim.Table[T]) int {
	return len(t.Where(func(r T) bool { return !r.common().implicit }))
}

// foreign refuses to change what belongs to the cloud's operator.
func foreign(b *base, rule string) error {
	if b.implicit {
		return neutronFault(403, "HTTPForbidden", "rule:%s is disallowed by policy", rule)
	}
	return nil
}
