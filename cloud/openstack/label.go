package openstack

import (
	"regexp"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// metaKey is what Nova takes as a key of metadata, without blanks at its ends.
var metaKey = regexp.MustCompile(`^[a-zA-Z0-9_:.-]([a-zA-Z0-9_:. -]*[a-zA-Z0-9_:.-])?$`)

// metadata returns the user's labels as Nova keeps them. Keys have a narrow
// alphabet. Values have not, except that a database whose character set is
// MariaDB's utf8 (three bytes) refuses what is beyond the Basic Multilingual
// Plane: emoji and rare Hanzi.
func metadata(labels map[string]string) map[string]string {
	meta := make(map[string]string, len(labels))
	for k, v := range labels {
		if !metaKey.MatchString(k) || cloud.DecodeLabel(k) != k {
			k = cloud.EncodeLabel(k)
		}
		if strings.ContainsFunc(v, func(r rune) bool { return r > 0xffff }) || cloud.DecodeLabel(v) != v {
			v = cloud.EncodeLabel(v)
		}
		meta[k] = v
	}
	return meta
}

// labels is the inverse of metadata: what of a server's are the user's.
func labels(meta map[string]string) map[string]string {
	user := cloud.UserLabels(meta)
	if user == nil {
		return nil
	}
	out := make(map[string]string, len(user))
	for k, v := range user {
		out[cloud.DecodeLabel(k)] = cloud.DecodeLabel(v)
	}
	return out
}
