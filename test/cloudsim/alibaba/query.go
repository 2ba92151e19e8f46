package alibaba

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxList bounds the elements of a list in a request.
const maxList = 200

// query are the parameters of a request, flat as they come: lists count from 1
// in the names ("Tag.1.Key").
type query map[string]string

// decodeQuery reads the query string and the form of a request.
func decodeQuery(raw, form string) (query, error) {
	q := query{}
	for _, part := range []string{raw, form} {
		values, err := url.ParseQuery(part)
		if err != nil {
			return nil, fault(400, "InvalidParameter", "The request is not well-formed: %v", err)
		}
		for k, v := range values {
			if _, twice := q[k]; twice || len(v) != 1 {
				return nil, fault(400, "InvalidParameter", "The parameter %.60q is given twice.", k)
			}
			q[k] = v[0]
		}
	}
	return q, nil
}

func (q query) str(name string) string { return q[name] }

func (q query) number(name string, otherwise int) (int, error) {
	if q[name] == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q[name])
	if err != nil {
		return 0, invalid(name, q[name])
	}
	return n, nil
}

func (q query) boolean(name string, otherwise bool) (bool, error) {
	switch strings.ToLower(q[name]) {
	case "":
		return otherwise, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid(name, q[name])
}

// list returns the texts of a list.
func (q query) list(name string) []string {
	var out []string
	for n := 1; n <= maxList; n++ {
		v, ok := q[fmt.Sprintf("%s.%d", name, n)]
		if !ok {
			break
		}
		out = append(out, v)
	}
	return out
}

// items returns the elements of a list of structures.
func (q query) items(name string) []query {
	byNumber := map[int]query{}
	for k, v := range q {
		rest, ok := strings.CutPrefix(k, name+".")
		number, field, nested := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if !ok || !nested || err != nil || n < 1 || n > maxList {
			continue
		}
		if byNumber[n] == nil {
			byNumber[n] = query{}
		}
		byNumber[n][field] = v
	}
	var out []query
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		out = append(out, byNumber[n])
	}
	return out
}

// top returns the name of a parameter without the numbers of lists.
func top(name string) string {
	head, rest, ok := strings.Cut(name, ".")
	if ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return head
	}
	return name
}

// canonical prints what a request asks for, without who asks and when.
func (q query) canonical() string {
	var b strings.Builder
	for _, k := range sortedKeys(q) {
		if !slices.Contains(common, k) {
			fmt.Fprintf(&b, "%q=%q\n", k, q[k])
		}
	}
	return b.String()
}
