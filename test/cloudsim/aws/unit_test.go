package aws_test

import (
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/aws"
)

func TestWildcard(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a?c", "abc", true},
		{"a?c", "ac", false}, {"*b*", "abc", true}, {"abc", "abcd", false}, {"a*b*c", "axxbyyc", true}, {"웹-*", "웹-1", true},
	} {
		if got := aws.Wildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q on %q: got %t, want %t", tt.pattern, tt.s, got, tt.want)
		}
	}
	long := strings.Repeat("a", 1<<12)
	if aws.Wildcard(strings.Repeat("a*", 1<<10)+"b", long) {
		t.Error("a pattern of many stars matched")
	}
}

func TestZoneID(t *testing.T) {
	for _, tt := range []struct{ region, zone, want string }{
		{"us-east-1", "us-east-1a", "use1-az1"}, {"ap-northeast-2", "ap-northeast-2c", "apne2-az3"},
		{"eu-central-1", "eu-central-1b", "euc1-az2"}, {"ap-southeast-1", "ap-southeast-1a", "apse1-az1"},
	} {
		if got := aws.ZoneID(tt.region, tt.zone); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.zone, got, tt.want)
		}
	}
}

// TestQuery: no parameter that the decoder read is lost. Whatever else may stand
// there is FuzzActions' matter, in a package that compiles fast.
func TestQuery(t *testing.T) {
	for _, body := range []string{
		"Action=RunInstances&Version=2016-11-15&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b",
		"Filter.1.Name=vpc-id&Filter.1.Value.2=x",
	} {
		out, err := aws.DecodeQuery(body)
		if err != nil || out == "" {
			t.Errorf("%s: %q, %v", body, out, err)
		}
	}
	for _, body := range []string{"%zz", "a=%"} {
		if out, err := aws.DecodeQuery(body); err == nil {
			t.Errorf("%s: read as %q", body, out)
		}
	}
}
