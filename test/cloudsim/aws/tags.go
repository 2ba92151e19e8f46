package aws

import (
	"slices"
	"strings"
)

// Limits of tags, as AWS has them.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// parseTags reads a list of tags at name.
func parseTags(q *node, name string) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range q.items(name) {
		key, val := t.str("Key"), t.str("Value")
		switch {
		case key == "":
			return nil, fault(400, "InvalidParameterValue", "Tag key cannot be empty.")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return nil, fault(400, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case len([]rune(key)) > maxTagKey:
			return nil, fault(400, "InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", maxTagKey)
		case len([]rune(val)) > maxTagValue:
			return nil, fault(400, "InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", maxTagValue)
		}
		if _, twice := tags[key]; twice {
			return nil, fault(400, "InvalidParameterValue", "Duplicate tag key '%s' specified.", key)
		}
		tags[key] = val
	}
	if len(tags) > maxTags {
		return nil, fault(400, "TagLimitExceeded", "You have reached the maximum number of tags that are allowed: %d.", maxTags)
	}
	return tags, nil
}

// tagSpecs reads the TagSpecification parameter: tags by type of resource, of
// which only those in kinds are allowed.
func tagSpecs(q *node, kinds ...string) (map[string]map[string]string, error) {
	specs := map[string]map[string]string{}
	for _, spec := range q.items("TagSpecification") {
		kind := spec.str("ResourceType")
		if !slices.Contains(kinds, kind) {
			return nil, fault(400, "InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if _, twice := specs[kind]; twice {
			return nil, fault(400, "InvalidParameterValue", "Duplicate resource type '%s' in tag specifications.", kind)
		}
		tags, err := parseTags(spec, "Tag")
		if err != nil {
			return nil, err
		}
		specs[kind] = tags
	}
	return specs, nil
}

// setTags puts tags on a resource.
func (r *region) setTags(id string, tags map[string]string) {
	if len(tags) == 0 {
		return
	}
	if r.tags[id] == nil {
		r.tags[id] = map[string]string{}
	}
	for k, v := range tags {
		r.tags[id][k] = v
	}
}

// xmlTags prints the tags of a resource.
func (r *region) xmlTags(id string) set[xmlTag] {
	tags := r.tags[id]
	return setOf(sortedKeys(tags), func(k string) xmlTag { return xmlTag{k, tags[k]} })
}

func createTags(c *call) (any, error) {
	tags, err := parseTags(c.q, "Tag")
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, missing("Tag")
	}
	ids := c.q.list("ResourceId")
	if len(ids) == 0 {
		return nil, missing("ResourceIdSet")
	}
	for _, id := range ids {
		if _, err := c.r.typeOf(id); err != nil {
			return nil, err
		}
		more := len(c.r.tags[id])
		for k := range tags {
			if _, ok := c.r.tags[id][k]; !ok {
				more++
			}
		}
		if more > maxTags {
			return nil, fault(400, "TagLimitExceeded", "You have reached the maximum number of tags that are allowed: %d.", maxTags)
		}
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		c.r.setTags(id, tags)
	}
	return done{true}, nil
}

func deleteTags(c *call) (any, error) {
	ids := c.q.list("ResourceId")
	if len(ids) == 0 {
		return nil, missing("ResourceIdSet")
	}
	for _, id := range ids {
		if _, err := c.r.typeOf(id); err != nil {
			return nil, err
		}
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	for _, id := range ids {
		tags := c.r.tags[id]
		if !c.q.has("Tag") {
			delete(c.r.tags, id)
		}
		for _, t := range c.q.items("Tag") {
			key := t.str("Key")
			if have, ok := tags[key]; ok && (!t.has("Value") || t.str("Value") == have) {
				delete(tags, key)
			}
		}
	}
	return done{true}, nil
}

type xmlTagRow struct {
	ResourceID   string `xml:"resourceId"`
	ResourceType string `xml:"resourceType"`
	Key          string `xml:"key"`
	Value        string `xml:"value"`
}

func describeTags(c *call) (any, error) {
	var rows []xmlTagRow
	for _, id := range sortedKeys(c.r.tags) {
		kind, err := c.r.typeOf(id)
		if err != nil {
			continue
		}
		tags := c.r.tags[id]
		for _, k := range sortedKeys(tags) {
			ok, err := match(c.q, nil, fields(map[string][]string{
				"key": {k}, "value": {tags[k]}, "resource-id": {id}, "resource-type": {kind},
			}))
			if err != nil {
				return nil, err
			}
			if ok {
				rows = append(rows, xmlTagRow{id, kind, k, tags[k]})
			}
		}
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Tags set[xmlTagRow] `xml:"tagSet"`
		Next string         `xml:"nextToken,omitempty"`
	}{set[xmlTagRow]{rows}, next}, err
}
