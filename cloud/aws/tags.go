package aws

import (
	"cmp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// keyName is the tag that EC2's console shows as the name.
const keyName = "Name"

// ownerFilters selects by mark; a zero MCIS selects every MCIS of the mesh.
func ownerFilters(o cloud.Owner) []types.Filter {
	f := []types.Filter{filter("tag:"+cloud.KeyMesh, literal(o.Mesh))}
	if o.MCIS != "" {
		f = append(f, filter("tag:"+cloud.KeyMCIS, literal(o.MCIS)))
	}
	return f
}

// literal escapes the wildcards of EC2's filters.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(s)
}

func tagSpec(tags map[string]string, name string, kinds ...types.ResourceType) []types.TagSpecification {
	list := []types.Tag{{Key: aws.String(keyName), Value: aws.String(name)}}
	for k, v := range tags {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	slices.SortFunc(list, func(a, b types.Tag) int { return cmp.Compare(*a.Key, *b.Key) })
	out := make([]types.TagSpecification, 0, len(kinds))
	for _, k := range kinds {
		out = append(out, types.TagSpecification{ResourceType: k, Tags: list})
	}
	return out
}

func tagMap(tags []types.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return m
}

// labelTags returns the user's labels as tags. EC2 takes any text (values even
// empty), but keeps the keys "aws:" for itself, and [keyName] is the driver's.
func labelTags(labels map[string]string) map[string]string {
	tags := make(map[string]string, len(labels))
	for k, v := range labels {
		// What is encoded already is encoded again, so that both come back.
		if k == keyName || awsOwn(k) || cloud.DecodeLabel(k) != k {
			k = cloud.EncodeLabel(k)
		}
		tags[k] = v
	}
	return tags
}

// labels is the inverse of labelTags: what of an object's tags are the user's.
func labels(tags map[string]string) map[string]string {
	var out map[string]string
	for k, v := range cloud.UserLabels(tags) {
		if k == keyName || awsOwn(k) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[cloud.DecodeLabel(k)] = v
	}
	return out
}

// awsOwn reports whether a tag's key is one that only AWS sets.
func awsOwn(key string) bool { return strings.HasPrefix(strings.ToLower(key), "aws:") }
