package aws

import (
	"slices"
	"strings"
)

// attrs returns the values that an object has for a filter, and false when
// objects of its kind have no such filter.
type attrs func(filter string) ([]string, bool)

// match reports whether an object satisfies every filter of a request. Values
// of one filter are alternatives; * and ? stand for any text and any letter.
func match(q *node, tags map[string]string, has attrs) (bool, error) {
	for _, f := range q.items("Filter") {
		name, wanted := f.str("Name"), f.list("Value")
		if name == "" {
			return false, missing("Filter.Name")
		}
		values, known := tagValues(name, tags)
		if !known {
			values, known = has(name)
		}
		if !known {
			return false, fault(400, "InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(wanted, func(pattern string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return wildcard(pattern, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// tagValues answers the filters that every kind of object has.
func tagValues(filter string, tags map[string]string) ([]string, bool) {
	if filter == "tag-key" {
		return sortedKeys(tags), true
	}
	if key, ok := strings.CutPrefix(filter, "tag:"); ok {
		if v, ok := tags[key]; ok {
			return []string{v}, true
		}
		return nil, true
	}
	return nil, false
}

// wildcard matches a filter's value.
func wildcard(pattern, s string) bool {
	// Iterative with one point of return, so that no pattern takes more than
	// len(pattern)*len(s) steps.
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// yesNo prints a truth value for a filter.
func yesNo(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// fields is an attrs of a fixed table.
func fields(table map[string][]string) attrs {
	return func(filter string) ([]string, bool) {
		values, ok := table[filter]
		return values, ok
	}
}
