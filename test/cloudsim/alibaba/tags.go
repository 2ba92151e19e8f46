package alibaba

import (
	"maps"
	"strings"
	"unicode/utf8"
)

// Limits of tags.
const (
	maxTags = 20
	maxTag  = 64 // characters of a key or a value in RunInstances, the least of all calls
)

// tags reads the tags that a create gives.
func (q query) tags() (map[string]string, error) {
	out := map[string]string{}
	for _, t := range q.items("Tag") {
		k, v := t["Key"], t["Value"]
		for f := range t {
			if f != "Key" && f != "Value" {
				return nil, fault(400, "UnsupportedParameter", "The parameter Tag.N.%.60s is not simulated.", f)
			}
		}
		switch _, twice := out[k]; {
		case k == "" || utf8.RuneCountInString(k) > maxTag || ours(k):
			return nil, fault(400, "InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid: %.100q.", k)
		case utf8.RuneCountInString(v) > maxTag || ours(v):
			return nil, fault(400, "InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid: %.100q.", v)
		case twice:
			return nil, fault(400, "Duplicate.TagKey", "The Tag.N.Key contains duplicate keys.")
		}
		out[k] = v
	}
	if len(out) > maxTags {
		return nil, fault(400, "InvalidParameter.TagCount", "The specified tags are beyond the permitted range: at most %d.", maxTags)
	}
	return out, nil
}

// ours reports whether a text is one that the vendor keeps for itself.
func ours(s string) bool {
	return strings.HasPrefix(s, "aliyun") || strings.HasPrefix(s, "acs:") || strings.Contains(s, "http://") || strings.Contains(s, "https://")
}

// matches reports whether an object has the tags that a describe call wants. A
// tag without a value asks for its key alone.
func (q query) matches(have map[string]string) bool {
	for _, t := range q.items("Tag") {
		v, ok := have[t["Key"]]
		if want, given := t["Value"]; !ok || given && v != want {
			return false
		}
	}
	return true
}

// ecsTags and vpcTags print tags as the two products do.
func ecsTags(tags map[string]string) obj { return printTags(tags, "TagKey", "TagValue") }
func vpcTags(tags map[string]string) obj { return printTags(tags, "Key", "Value") }

func printTags(tags map[string]string, key, value string) obj {
	list := []obj{}
	for _, k := range sortedKeys(tags) {
		list = append(list, obj{key: k, value: tags[k]})
	}
	return obj{"Tag": list}
}

// name checks the name of an object: letters, digits and few signs, a letter
// first.
func name(param, s string, least int) error {
	first := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127)
	})
	bad := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r > 127 || strings.ContainsRune(":_.-", r))
	})
	if n := utf8.RuneCountInString(s); n < least || n > 128 || first == 0 || bad >= 0 {
		return fault(400, "Invalid"+param+".Malformed", "The specified parameter %q is not valid: %.150q.", param, s)
	}
	return nil
}

// description checks a description: no address of a page.
func description(s string) error {
	if utf8.RuneCountInString(s) > 256 || strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return fault(400, "InvalidDescription.Malformed", "The specified description is wrongly formed.")
	}
	return nil
}

// labelled reads what every create of a network object gives beside the object.
func (q query) labelled(param string, least int) (string, string, map[string]string, error) {
	n, d := q.str(param), q.str("Description")
	if n != "" {
		if err := name(param, n, least); err != nil {
			return "", "", nil, err
		}
	}
	if err := description(d); err != nil {
		return "", "", nil, err
	}
	tags, err := q.tags()
	return n, d, maps.Clone(tags), err
}
