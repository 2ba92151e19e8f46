package aws_test

import (
	"net/url"
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

// FuzzQuery checks that no body breaks the decoder, and that what it read can
// be told apart again.
func FuzzQuery(f *testing.F) {
	f.Add("Action=RunInstances&Version=2016-11-15&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b")
	f.Add("Filter.1.Name=vpc-id&Filter.1.Value.2=x&Filter.99999999999999999999.Name=y")
	f.Add("a=1&a.b=2&a..b=3&=4&%zz")
	f.Fuzz(func(t *testing.T, body string) {
		out, err := aws.DecodeQuery(body)
		if err != nil {
			return
		}
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("read what url refuses: %v", err)
		}
		if len(form) > 0 && out == "" {
			t.Errorf("%d parameters vanished", len(form))
		}
	})
}
