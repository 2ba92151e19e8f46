package mcis

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// fields reads the values of a mapping by their keys.
type fields map[string]func(n *yaml.Node, path string)

// mapping reads a mapping and returns which keys it had. Unknown keys, keys
// that are there twice and keys without a value are faults.
func (p *parser) mapping(n *yaml.Node, path string, want fields) map[string]bool {
	seen := make(map[string]bool)
	if n = p.follow(n); !p.isMapping(n, path) {
		return seen
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], p.follow(n.Content[i+1])
		at := strings.TrimPrefix(path+"."+k.Value, ".")
		read, known := want[k.Value]
		switch {
		case !known:
			p.fault(k.Line, at, "unknown key", "use one of "+strings.Join(slices.Sorted(maps.Keys(want)), ", "))
		case seen[k.Value]:
			p.fault(k.Line, at, "is there twice", "keep one of them")
		case isNull(v):
			p.fault(k.Line, at, "has no value", "give it one, or remove the key")
			seen[k.Value] = true
		default:
			seen[k.Value] = true
			p.lines[at] = v.Line
			read(v, at)
		}
	}
	return seen
}

// require reports the keys that a mapping lacks.
func (p *parser) require(n *yaml.Node, path string, seen map[string]bool, keys ...string) {
	for _, k := range keys {
		if !seen[k] {
			p.fault(p.follow(n).Line, strings.TrimPrefix(path+"."+k, "."), "is missing", "add it")
		}
	}
}

func (p *parser) isMapping(n *yaml.Node, path string) bool {
	if n.Kind == yaml.MappingNode {
		return true
	}
	p.fault(n.Line, path, "is "+kindName(n)+", not a mapping", "write it as {key: value}")
	return false
}

// list returns the items of a list.
func (p *parser) list(n *yaml.Node, path string) []*yaml.Node {
	n = p.follow(n)
	if n.Kind != yaml.SequenceNode {
		p.fault(n.Line, path, "is "+kindName(n)+", not a list", "write it as [..]")
		return nil
	}
	if len(n.Content) == 0 {
		p.fault(n.Line, path, "is an empty list", "add an item, or remove the key")
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		out[i] = p.follow(item)
		p.lines[fmt.Sprintf("%s[%d]", path, i)] = out[i].Line
	}
	return out
}

// follow returns what an alias stands for. Past the limit of nodes everything
// is empty, and a fault says so once.
func (p *parser) follow(n *yaml.Node) *yaml.Node {
	if p.nodes++; p.nodes > maxYAMLNodes {
		if p.nodes == maxYAMLNodes+1 {
			p.fault(n.Line, "", fmt.Sprintf("more than %d values", maxYAMLNodes), "split the file")
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line}
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// scalar returns the text of a value of one of the tags.
func (p *parser) scalar(n *yaml.Node, path, want, fix string, tags ...string) (string, bool) {
	n = p.follow(n)
	if n.Kind == yaml.ScalarNode && slices.Contains(tags, n.ShortTag()) {
		return n.Value, true
	}
	what := "is " + kindName(n)
	if n.Kind == yaml.ScalarNode {
		what = fmt.Sprintf("%q is %s", cut(n.Value), kindName(n))
	}
	p.fault(n.Line, path, what+", not "+want, fix)
	return "", false
}

// text reads a string of up to 256 printable characters. A number is taken as
// it is written: images and machine types may look like one.
func (p *parser) text(n *yaml.Node, path string) string {
	s, ok := p.scalar(n, path, "a text", "put it in quotes", "!!str", "!!int", "!!float")
	if !ok {
		return ""
	}
	if len(s) == 0 || len(s) > 256 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		p.fault(n.Line, path, "must have 1 to 256 printable characters", "shorten it, or remove the key")
		return ""
	}
	return s
}

var (
	nameRule   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	regionRule = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$`)
	memoryRule = regexp.MustCompile(`^([0-9]{1,7})(MiB|GiB)$`)
)

// name reads a label of the DNS.
func (p *parser) name(n *yaml.Node, path string, limit int) string {
	s := p.text(n, path)
	if s != "" && (len(s) > limit || !nameRule.MatchString(s)) {
		p.fault(n.Line, path, fmt.Sprintf("%q is no name", cut(s)), fmt.Sprintf("use 1 to %d characters of a-z, 0-9 and, inside, -", limit))
		return ""
	}
	return s
}

func (p *parser) region(n *yaml.Node, path string) string {
	s := p.text(n, path)
	if s != "" && !regionRule.MatchString(s) {
		p.fault(n.Line, path, fmt.Sprintf("%q is no name of a region", cut(s)), "use letters, digits, and inside . _ and -")
		return ""
	}
	return s
}

func (p *parser) oneOf(n *yaml.Node, path string, values ...string) string {
	s := p.text(n, path)
	if s != "" && !slices.Contains(values, s) {
		p.fault(n.Line, path, fmt.Sprintf("%q is not possible here", cut(s)), "use one of "+strings.Join(values, ", "))
	}
	return s
}

// integer reads a number between least and most; out of range it returns
// least.
func (p *parser) integer(n *yaml.Node, path string, least, most int) int {
	s, ok := p.scalar(n, path, "a whole number", fmt.Sprintf("use %d to %d", least, most), "!!int")
	if !ok {
		return least
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		p.fault(n.Line, path, fmt.Sprintf("%s is out of range", cut(s)), fmt.Sprintf("use %d to %d", least, most))
		return least
	}
	return v
}

func (p *parser) boolean(n *yaml.Node, path string) bool {
	s, _ := p.scalar(n, path, "true or false", "write true or false", "!!bool")
	return strings.EqualFold(s, "true")
}

// memory reads "512MiB" or "4GiB" and returns MiB.
func (p *parser) memory(n *yaml.Node, path string) int {
	s := p.text(n, path)
	if s == "" {
		return 0
	}
	m := memoryRule.FindStringSubmatch(s)
	if m == nil {
		p.fault(n.Line, path, fmt.Sprintf("%q is no size of memory", cut(s)), "write it as 512MiB or 4GiB")
		return 0
	}
	v, _ := strconv.Atoi(m[1]) // at most seven digits
	if m[2] == "GiB" {
		v *= 1024
	}
	return v
}

// prefix reads an IP prefix without host bits.
func (p *parser) prefix(n *yaml.Node, path string) netip.Prefix {
	s := p.text(n, path)
	if s == "" {
		return netip.Prefix{}
	}
	v, err := netip.ParsePrefix(s)
	if err != nil {
		p.fault(n.Line, path, fmt.Sprintf("%q is no prefix", cut(s)), "write it as 10.66.8.0/24")
		return netip.Prefix{}
	}
	if v != v.Masked() {
		p.fault(n.Line, path, fmt.Sprintf("%s has bits set after its first %d", v, v.Bits()), "write it as "+v.Masked().String())
		return netip.Prefix{}
	}
	return v
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kindName says what a value is, for faults.
func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!int", "!!float":
			return "a number"
		case "!!bool":
			return "true or false"
		case "!!null":
			return "empty"
		case "!!str":
			return "a text"
		}
	}
	return "something else"
}

// cut shortens a value for a message.
func cut(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:57], "") + "..."
	}
	return s
}
