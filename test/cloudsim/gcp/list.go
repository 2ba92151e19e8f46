package gcp

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// paged are the parameters of every list.
const paged = "filter maxResults orderBy pageToken returnPartialSuccess"

// mostResults is how many items a page has at most.
const mostResults = 500

// item is a row and how it is printed.
type item[T, D any] struct {
	row T
	doc D
}

// selected filters the rows of a list and cuts out the page that is asked for.
// It returns them printed, with the token of the next page.
func selected[T, D any](c *call, rows []T, doc func(T) D) (items []item[T, D], next string, err error) {
	keep, err := parseFilter(c.query("filter"))
	if err != nil {
		return nil, "", err
	}
	from, size, err := c.page()
	if err != nil {
		return nil, "", err
	}
	for _, row := range rows {
		d := doc(row)
		ok, err := keep.match(d)
		if err != nil {
			return nil, "", err
		}
		if ok {
			items = append(items, item[T, D]{row, d})
		}
	}
	if from > len(items) {
		return nil, "", invalid("pageToken", c.query("pageToken"), "Invalid page token.")
	}
	items = items[from:]
	if len(items) > size {
		items, next = items[:size], pageToken(from+size)
	}
	return items, next, nil
}

// page reads which part of a list is asked for.
func (c *call) page() (from, size int, err error) {
	size = mostResults
	if s := c.query("maxResults"); s != "" {
		if size, err = strconv.Atoi(s); err != nil || size < 0 || size > mostResults {
			return 0, 0, invalid("maxResults", s, "Must be between 0 and %d, inclusive.", mostResults)
		}
		if size == 0 {
			size = mostResults
		}
	}
	if s := c.query("pageToken"); s != "" {
		raw, _ := base64.URLEncoding.DecodeString(s)
		after, ok := strings.CutPrefix(string(raw), "at:")
		if from, err = strconv.Atoi(after); err != nil || !ok || from < 0 {
			return 0, 0, invalid("pageToken", s, "Invalid page token.")
		}
	}
	if s := c.query("orderBy"); s != "" && s != "name" {
		return 0, 0, invalid("orderBy", s, "Only the order by name is simulated.")
	}
	return from, size, nil
}

func pageToken(from int) string {
	return base64.URLEncoding.EncodeToString([]byte("at:" + strconv.Itoa(from)))
}

// listOf answers a list call; path is that of the collection.
func listOf[T, D any](c *call, kind, path string, rows []T, doc func(T) D) (any, error) {
	page, next, err := selected(c, rows, doc)
	if err != nil {
		return nil, err
	}
	items := make([]D, 0, len(page))
	for _, i := range page {
		items = append(items, i.doc)
	}
	return struct {
		Kind     string `json:"kind"`
		ID       string `json:"id"`
		Items    []D    `json:"items,omitempty"`
		Next     string `json:"nextPageToken,omitempty"`
		SelfLink string `json:"selfLink"`
	}{kind, c.p.resource(path), items, next, c.p.link(path)}, nil
}

// warning says of a scope that it has nothing.
type warning struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Data    []warningData `json:"data"`
}

type warningData struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// aggregate answers an aggregated list: the items of all scopes, by scope. Each
// scope is an object whose member, named after the kind, holds its items;
// scopes without any carry a warning.
func aggregate[T, D any](c *call, kind, path, member string, rows []T, scope func(T) string, doc func(T) D) (any, error) {
	page, next, err := selected(c, rows, doc)
	if err != nil {
		return nil, err
	}
	byScope := map[string][]D{}
	for _, i := range page {
		byScope[scope(i.row)] = append(byScope[scope(i.row)], i.doc)
	}
	items := map[string]map[string]any{}
	for _, s := range c.scopes(path) {
		items[s] = map[string]any{"warning": warning{
			Code: "NO_RESULTS_ON_PAGE", Message: "There are no results for scope '" + s + "' on this page.", Data: []warningData{{"scope", s}},
		}}
	}
	for _, s := range slices.Sorted(maps.Keys(byScope)) {
		items[s] = map[string]any{member: byScope[s]}
	}
	return struct {
		Kind     string                    `json:"kind"`
		ID       string                    `json:"id"`
		Items    map[string]map[string]any `json:"items"`
		Next     string                    `json:"nextPageToken,omitempty"`
		SelfLink string                    `json:"selfLink"`
	}{kind, c.p.resource("aggregated/" + path), items, next, c.p.link("aggregated/" + path)}, nil
}

// scopes lists where resources of a kind may be.
func (c *Cloud) scopes(kind string) []string {
	var all []string
	if kind == "operations" {
		all = append(all, "global")
	}
	for _, r := range c.regions {
		if kind == "operations" || kind == "subnetworks" || kind == "routers" {
			all = append(all, "regions/"+r.name)
		}
	}
	for _, z := range c.zoneNames() {
		if kind != "subnetworks" && kind != "routers" {
			all = append(all, "zones/"+z)
		}
	}
	return all
}

// fieldsOf returns a document as filters see it.
func fieldsOf(doc any) (map[string]any, error) {
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	fields := map[string]any{}
	return fields, d.Decode(&fields)
}
