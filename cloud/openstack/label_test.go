package openstack

import (
	"maps"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/cbnet-io/cbnet/cloud"
)

// novaKey is the pattern in Nova's own schema of metadata,
// nova/api/validation/parameter_types.py.
var novaKey = regexp.MustCompile(`^[a-zA-Z0-9-_:. ]{1,255}$`)

func TestMetadata(t *testing.T) {
	want := map[string]string{
		"팀": "인프라", "地域": "東京リージョン", "店": "𠮷野家", "城市": "北京", "mood": "🙂", "a b": "c d", " a": " b ", "Team": "x", "team": "y",
		"x--": "x--", "x--7": "x--7", "empty": "",
	}
	meta := metadata(want)
	for k, v := range meta {
		if !novaKey.MatchString(k) {
			t.Errorf("Nova takes no key %q", k)
		}
		for _, r := range v {
			if utf8.RuneLen(r) > 3 {
				t.Errorf("a database with three-byte characters takes no %q", v)
			}
		}
	}
	maps.Copy(meta, cloud.Owner{Mesh: "m", MCIS: "i"}.Tags())
	if got := labels(meta); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := labels(cloud.Owner{Mesh: "m", MCIS: "i"}.Tags()); got != nil {
		t.Errorf("got %q of the mark alone", got)
	}
}

func TestKeyPairName(t *testing.T) {
	for _, want := range []cloud.Owner{
		{Mesh: "m", MCIS: "i"}, {Mesh: "a_b", MCIS: "c_d"}, {Mesh: "A-1", MCIS: "x--7"}, {Mesh: "{", MCIS: "~"},
	} {
		name, err := keyPairName(want, "net-1")
		if got := keyOwner(name); err != nil || got != want || !regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`).MatchString(name) {
			t.Errorf("%+v became %q and that %+v, %v", want, name, got, err)
		}
	}
	for _, name := range []string{"", "work", "cbnet_a_b", "cbnet_a_b_c_d", "other_a_b_c"} {
		if got := keyOwner(name); got != (cloud.Owner{}) {
			t.Errorf("%q is owned by %+v", name, got)
		}
	}
}
