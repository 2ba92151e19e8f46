package azure

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// reserved begin the keys of tags that Azure keeps for itself.
var reserved = [...]string{"microsoft", "azure", "windows"}

// checkLabels refuses what no tag can have.
func checkLabels(labels map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		for _, r := range reserved {
			if strings.HasPrefix(k, r) {
				return fmt.Errorf("azure label %q: %w: Azure reserves keys that begin with %q", k, cloud.ErrInvalid, r)
			}
		}
	}
	return nil
}

// tagsOf puts the mark and more into the SDK's form.
func tagsOf(maps ...map[string]string) map[string]*string {
	out := map[string]*string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = &v
		}
	}
	return out
}

// encodeLabels writes a user's labels as tags. Azure has any text in values;
// its keys are the same in every case of their letters and lack some
// characters, so they are encoded.
func encodeLabels(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		out[cloud.EncodeLabel(k)] = v
	}
	return out
}

// decodeLabels is the inverse of encodeLabels, without the mark.
func decodeLabels(tags map[string]string) map[string]string {
	var out map[string]string
	for k, v := range cloud.UserLabels(tags) {
		if out == nil {
			out = map[string]string{}
		}
		out[cloud.DecodeLabel(k)] = v
	}
	return out
}

// tagMap reads tags from the SDK's form.
func tagMap(tags map[string]*string) map[string]string {
	m := make(map[string]string, len(tags))
	for k, v := range tags {
		m[k] = val(v)
	}
	return m
}

// val returns what p points to, the zero value for nil.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
