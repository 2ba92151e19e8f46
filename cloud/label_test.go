package cloud_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

var dnsLabel = regexp.MustCompile(`^([a-z]([a-z0-9-]{0,61}[a-z0-9])?)?$`)

func TestLabels(t *testing.T) {
	for _, s := range []string{
		"", "web", "tier-1", "Web", "1", "-", "a-", "x--", "x--web", "x--7", "CostCenter=KR 12345", "a_b", "a.b",
		"서울-데이터센터", "東京リージョン", "北京数据中心", "한국어 이름표 열두 글", strings.Repeat("가", 12), strings.Repeat("Z", cloud.MaxLabel),
	} {
		code := cloud.EncodeLabel(s)
		if !dnsLabel.MatchString(code) {
			t.Errorf("%q: %q is no DNS label", s, code)
		}
		if got := cloud.DecodeLabel(code); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	}
	for _, s := range []string{"x--zz", "x--", "x--ek", "Web", "x--7~"} { // labels of others stay
		if got := cloud.DecodeLabel(s); got != s {
			t.Errorf("%q was read as %q", s, got)
		}
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("web")
	f.Add("서울")
	f.Add("x--o")
	f.Fuzz(func(t *testing.T, s string) {
		decoded := cloud.DecodeLabel(s)
		if decoded != s && cloud.EncodeLabel(decoded) != s {
			t.Errorf("%q is read as %q, which is written %q", s, decoded, cloud.EncodeLabel(decoded))
		}
		if strings.ToValidUTF8(s, "") == s && cloud.DecodeLabel(cloud.EncodeLabel(s)) != s {
			t.Errorf("%q does not come back", s)
		}
	})
}

func TestLabelRules(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"a key of ours":     {"cbnet-node": "a"},
		"no key":            {"": "a"},
		"over-long value":   {"a": strings.Repeat("가", 13)},
		"control character": {"a": "b\n"},
		"no UTF-8":          {"a": "\xff"},
	} {
		spec := goodVM()
		spec.Labels = labels
		if err := spec.Validate(100); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	spec := goodVM()
	spec.Labels = map[string]string{"이름": "서울", "tier": "web", "note": ""}
	if err := spec.Validate(100); err != nil {
		t.Error(err)
	}
}

// goodVM is a spec without a fault.
func goodVM() cloud.VMSpec {
	return cloud.VMSpec{
		Owner: cloud.Owner{Mesh: "m", MCIS: "i"}, Name: "web-1", Token: "t", Spec: "small", Image: "debian",
		Network: cloud.Network{ID: "n", SubnetID: "s", SecurityGroup: "g"}, PrivateIP: netip.MustParseAddr("10.0.0.4"),
	}
}
