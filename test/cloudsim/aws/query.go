package aws

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Limits of what a request may carry: a client that breaks them is broken.
const (
	maxBody  = 1 << 20 // bytes; user data is at most 22 kB of it
	maxDepth = 8       // levels of a parameter's name, as in IpPermissions.1.IpRanges.1.CidrIp
	maxParts = 4096    // parameters of one request
)

// node is a parameter of the query protocol, with the parameters below it:
// Filter.1.Value.2=x is the value x at the end of four nodes. A nil node is a
// parameter that was not sent, so that lookups can be chained.
type node struct {
	value string
	sent  bool // a value was given for this very name
	below map[string]*node
}

// decodeQuery makes the tree of a form's parameters.
func decodeQuery(body string) (*node, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, fault(400, "MalformedQueryString", "The query string contains a syntax error.")
	}
	if len(form) > maxParts {
		return nil, fault(400, "InvalidParameterCombination", "The request has more than %d parameters.", maxParts)
	}
	root := &node{}
	for name, values := range form {
		if len(values) != 1 {
			return nil, fault(400, "InvalidParameterCombination", "The parameter %s is given more than once.", name)
		}
		parts := strings.Split(name, ".")
		if len(parts) > maxDepth {
			return nil, fault(400, "UnknownParameter", "The parameter %s is not recognized", name)
		}
		at := root
		for _, part := range parts {
			at = at.child(part)
		}
		at.value, at.sent = values[0], true
	}
	return root, nil
}

// child returns the node of that name below n and makes it where needed.
func (n *node) child(name string) *node {
	if n.below == nil {
		n.below = map[string]*node{}
	}
	next, ok := n.below[name]
	if !ok {
		next = &node{}
		n.below[name] = next
	}
	return next
}

// at returns the node of a dotted name, nil when it was not sent.
func (n *node) at(name string) *node {
	for part := range strings.SplitSeq(name, ".") {
		if n == nil {
			return nil
		}
		n = n.below[part]
	}
	return n
}

// has reports whether a parameter of that name, or one below it, was sent.
func (n *node) has(name string) bool { return n.at(name) != nil }

// str returns the value of a parameter, "" when it was not sent.
func (n *node) str(name string) string {
	if m := n.at(name); m != nil {
		return m.value
	}
	return ""
}

// need returns the value of a parameter that must be there.
func (n *node) need(name string) (string, error) {
	if v := n.str(name); v != "" {
		return v, nil
	}
	return "", missing(name)
}

// boolean returns a parameter that is true or false, def when it was not sent.
func (n *node) boolean(name string, def bool) (bool, error) {
	switch v := n.str(name); strings.ToLower(v) {
	case "":
		return def, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, fault(400, "InvalidParameterValue", "Value (%s) for parameter %s is invalid. Must be true or false.", v, name)
	}
}

// number returns a parameter that is a whole number, def when it was not sent.
func (n *node) number(name string, def int) (int, error) {
	v := n.str(name)
	if v == "" {
		return def, nil
	}
	i, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		return 0, fault(400, "InvalidParameterValue", "Value (%s) for parameter %s is invalid. Must be an integer.", v, name)
	}
	return int(i), nil
}

// items returns the members of a list, NAME.1, NAME.2 and so on, in the order
// of their numbers. Gaps are allowed, as EC2 allows them.
func (n *node) items(name string) []*node {
	list := n.at(name)
	if list == nil {
		return nil
	}
	var numbers []int
	for key := range list.below {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && strconv.Itoa(i) == key {
			numbers = append(numbers, i)
		}
	}
	slices.Sort(numbers)
	items := make([]*node, 0, len(numbers))
	for _, i := range numbers {
		items = append(items, list.below[strconv.Itoa(i)])
	}
	return items
}

// list returns the values of a list of strings.
func (n *node) list(name string) []string {
	var values []string
	for _, item := range n.items(name) {
		values = append(values, item.value)
	}
	return values
}

// canonical prints everything at and below n, sorted, but for the names
// skipped at the top: two requests that print the same ask for the same.
func (n *node) canonical(skip ...string) string {
	var lines []string
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		if n.sent {
			lines = append(lines, prefix+"="+n.value)
		}
		for name, next := range n.below {
			if prefix != "" || !slices.Contains(skip, name) {
				walk(prefix+"."+name, next)
			}
		}
	}
	walk("", n)
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
