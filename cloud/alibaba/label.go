package alibaba

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/cbnet-io/cbnet/cloud"
)

// escape begins a name that Alibaba would not take as it is.
const escape = "x--"

// vendorName returns a name for Alibaba, where names begin with a letter and
// have two characters at least. [ourName] is its inverse.
func vendorName(s string) string {
	if len(s) > 1 && s[0] >= 'a' && s[0] <= 'z' && !strings.HasPrefix(s, escape) {
		return s
	}
	return escape + s
}

// ourName reads what vendorName wrote.
func ourName(s string) string { return strings.TrimPrefix(s, escape) }

// refused reports whether Alibaba keeps a text from being a tag's key or value:
// https://www.alibabacloud.com/help/en/resource-management/tag/user-guide/tag-design-best-practices.
func refused(s string) bool {
	low := strings.ToLower(s)
	return strings.HasPrefix(low, "aliyun") || strings.HasPrefix(low, "acs:") ||
		strings.Contains(low, "http://") || strings.Contains(low, "https://")
}

// encodeLabel writes a key or value of a label as a tag's: as it is where
// Alibaba takes it.
func encodeLabel(s string) string {
	if refused(s) || strings.HasPrefix(s, escape) {
		return cloud.EncodeLabel(s)
	}
	return s
}

// machineTags are the mark and the labels of a machine.
func machineTags(spec cloud.VMSpec) (map[string]string, error) {
	tags := spec.Owner.Tags()
	maps.Copy(tags, map[string]string{cloud.KeyNode: spec.Node, cloud.KeyToken: spec.Token})
	for k, v := range spec.Labels {
		k, v := encodeLabel(k), encodeLabel(v)
		if refused(k) || refused(v) {
			return nil, fmt.Errorf("%s VM %s in %s: %w: label %q: %q: Alibaba keeps texts that begin with aliyun for itself", Provider, spec.Name, spec.Region, cloud.ErrInvalid, k, v)
		}
		tags[k] = v
	}
	return tags, nil
}

// userLabels reads the labels of a machine from its tags.
func userLabels(tags map[string]string) map[string]string {
	var labels map[string]string
	for k, v := range cloud.UserLabels(tags) {
		if labels == nil {
			labels = map[string]string{}
		}
		labels[cloud.DecodeLabel(k)] = cloud.DecodeLabel(v)
	}
	return labels
}

// repeated writes tags in the form of a request, in a stable order: a token
// stands for one request.
func repeated[T any](tags map[string]string, tag func(k, v string) T) *[]T {
	var list []T
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag(k, tags[k]))
	}
	return &list
}

// ownerTags are the tags to look for; a zero MCIS selects every MCIS of the mesh.
func ownerTags(o cloud.Owner) map[string]string {
	tags := o.Tags()
	if o.MCIS == "" {
		delete(tags, cloud.KeyMCIS)
	}
	return tags
}

// ecsTags reads an object's tags as ECS writes them.
func ecsTags(tags []ecs.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.TagKey] = t.TagValue
	}
	return m
}

// vpcTags reads an object's tags as VPC writes them.
func vpcTags(tags []vpc.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}
