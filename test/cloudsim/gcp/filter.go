package gcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// filter is an expression that picks items of a list. The API has two
// languages, which cannot be mixed: comparisons as in AIP-160
//
//	(labels.env = "web") AND (name != "a" OR status : "RUN")
//
// and regular expressions that match a whole field:
//
//	name eq "web-.*"
//
// Here one parser reads both.
type filter struct {
	tokens []string // what is left to parse
	root   node
	regexp bool // eq or ne was used
	plain  bool // another operator was used
}

// node decides about a document.
type node func(fields map[string]any) (bool, error)

// parseFilter reads a filter; the empty one keeps everything.
func parseFilter(s string) (*filter, error) {
	f := &filter{}
	if strings.TrimSpace(s) == "" {
		return f, nil
	}
	bad := func(why string) error {
		return invalid("filter", s, "Invalid list filter expression: %s.", why)
	}
	var err error
	if f.tokens, err = filterTokens(s); err != nil {
		return nil, bad(err.Error())
	}
	if f.root, err = f.sequence(0); err != nil {
		return nil, bad(err.Error())
	}
	if len(f.tokens) > 0 {
		return nil, bad("a parenthesis has no partner")
	}
	if f.regexp && f.plain {
		return nil, bad("regular expressions and other comparisons cannot be mixed")
	}
	return f, nil
}

// match reports whether a document is kept.
func (f *filter) match(doc any) (bool, error) {
	if f.root == nil {
		return true, nil
	}
	fields, err := fieldsOf(doc)
	if err != nil {
		return false, err
	}
	return f.root(fields)
}

var tokenRule = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[()]|!=|<=|>=|[=<>:]|[^\s()=<>!:"']+)`)

func filterTokens(s string) ([]string, error) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		t := tokenRule.FindString(s)
		if t == "" {
			return nil, fmt.Errorf("unexpected character at %q", s)
		}
		out, s = append(out, t), s[len(t):]
	}
	return out, nil
}

func (f *filter) peek() string {
	if len(f.tokens) == 0 {
		return ""
	}
	return f.tokens[0]
}

func (f *filter) next() string {
	t := f.peek()
	if t != "" {
		f.tokens = f.tokens[1:]
	}
	return t
}

// maxDepth bounds how deep parentheses go.
const maxDepth = 20

// sequence reads factors that must all hold.
func (f *filter) sequence(depth int) (node, error) {
	all, err := f.factor(depth)
	if err != nil {
		return nil, err
	}
	for f.peek() != "" && f.peek() != ")" {
		if f.peek() == "AND" {
			f.next()
		}
		one, err := f.factor(depth)
		if err != nil {
			return nil, err
		}
		before := all
		all = func(m map[string]any) (bool, error) {
			ok, err := before(m)
			if !ok || err != nil {
				return false, err
			}
			return one(m)
		}
	}
	return all, nil
}

// factor reads terms one of which must hold: OR binds closer than AND.
func (f *filter) factor(depth int) (node, error) {
	either, err := f.term(depth)
	if err != nil {
		return nil, err
	}
	for f.peek() == "OR" {
		f.next()
		one, err := f.term(depth)
		if err != nil {
			return nil, err
		}
		before := either
		either = func(m map[string]any) (bool, error) {
			ok, err := before(m)
			if ok || err != nil {
				return ok, err
			}
			return one(m)
		}
	}
	return either, nil
}

// term reads a comparison, an expression in parentheses, or the opposite of one.
func (f *filter) term(depth int) (node, error) {
	if depth > maxDepth {
		return nil, errors.New("too many parentheses")
	}
	switch f.peek() {
	case "NOT":
		f.next()
		n, err := f.term(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(m map[string]any) (bool, error) {
			ok, err := n(m)
			return !ok && err == nil, err
		}, nil
	case "(":
		f.next()
		n, err := f.sequence(depth + 1)
		if err != nil {
			return nil, err
		}
		if f.next() != ")" {
			return nil, errors.New("a parenthesis has no partner")
		}
		return n, nil
	}
	return f.comparison()
}

var fieldRule = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

func (f *filter) comparison() (node, error) {
	field, op, value := f.next(), f.next(), f.next()
	if !fieldRule.MatchString(field) || value == "" || value == "(" || value == ")" {
		return nil, errors.New("want FIELD OPERATOR VALUE")
	}
	quoted := value[0] == '"' || value[0] == '\''
	if quoted {
		value = unescape.ReplaceAllString(value[1:len(value)-1], "$1")
	} else {
		// An unquoted value may hold colons, as URLs and times do.
		for f.peek() == ":" && len(f.tokens) > 1 {
			value += f.next() + f.next()
		}
	}
	switch op {
	case "eq", "ne":
		f.regexp = true
		re, err := regexp.Compile("^(?:" + value + ")$")
		if err != nil {
			return nil, err
		}
		return func(m map[string]any) (bool, error) {
			return re.MatchString(text(lookUp(m, field))) == (op == "eq"), nil
		}, nil
	case "=", "!=", "<", "<=", ">", ">=", ":":
		f.plain = true
		return func(m map[string]any) (bool, error) { return compare(lookUp(m, field), op, value, quoted), nil }, nil
	}
	return nil, fmt.Errorf("unknown operator %q", op)
}

var unescape = regexp.MustCompile(`\\(.)`)

// lookUp returns the field of a path with dots, nil if there is none.
func lookUp(v any, path string) any {
	for {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		if got, ok := m[path]; ok {
			return got
		}
		first, rest, more := strings.Cut(path, ".")
		if !more {
			return nil
		}
		v, path = m[first], rest
	}
}

// compare applies an operator of AIP-160.
func compare(have any, op, want string, quoted bool) bool {
	if op == ":" {
		return holds(have, want, quoted)
	}
	if have == nil {
		return op == "!="
	}
	switch op {
	case "=":
		return text(have) == want
	case "!=":
		return text(have) != want
	}
	order := strings.Compare(text(have), want)
	if n, ok := have.(json.Number); ok {
		a, errA := n.Float64()
		b, errB := strconv.ParseFloat(want, 64)
		if errA != nil || errB != nil {
			return false
		}
		switch {
		case a < b:
			order = -1
		case a > b:
			order = 1
		default:
			order = 0
		}
	}
	return order < 0 && op[0] == '<' || order > 0 && op[0] == '>' || order == 0 && len(op) == 2
}

// holds is the operator ":": the field is there ("*"), has the text in it, or the
// element, or the key.
func holds(have any, want string, quoted bool) bool {
	if have == nil {
		return false
	}
	if want == "*" && !quoted {
		return true
	}
	switch have := have.(type) {
	case map[string]any:
		_, ok := have[want]
		return ok
	case []any:
		for _, v := range have {
			if text(v) == want {
				return true
			}
		}
		return false
	case string:
		return strings.Contains(have, want)
	}
	return text(have) == want
}

// text is a value as filters compare it.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}
