package aws

import (
	"maps"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

func TestLabelTags(t *testing.T) {
	want := map[string]string{
		"팀": "인프라", "地域": "東京リージョン", "店": "𠮷野家", "城市": "北京", "Name": "a", "aws:x": "b", "AWS:y": "c", "x--": "x--", "x--7": "e", "empty": "",
	}
	tags := labelTags(want)
	for k := range tags {
		if k == keyName || strings.HasPrefix(strings.ToLower(k), "aws:") {
			t.Errorf("the key %q is not the user's", k)
		}
	}
	if tags["팀"] != "인프라" {
		t.Errorf("what EC2 takes as it is was changed: %q", tags)
	}
	maps.Copy(tags, cloud.Owner{Mesh: "m", MCIS: "i"}.Tags())
	maps.Copy(tags, map[string]string{keyName: "web-1", "aws:autoscaling:groupName": "g"})
	if got := labels(tags); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
