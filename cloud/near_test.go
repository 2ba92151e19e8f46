package cloud_test

import (
	"slices"
	"testing"

	"github.com/cbnet-io/cbnet/cloud"
)

func TestNearest(t *testing.T) {
	regions := []string{"us-east-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "eu-west-1", "eu-west-1"}
	for _, tc := range []struct {
		name, wish string
		known      []string
		n          int
		want       []string
	}{
		{"one letter", "ap-northeast-4", regions, 2, []string{"ap-northeast-1", "ap-northeast-2"}},
		{"swapped at the beginning", "pa-northeast-2", regions, 1, []string{"ap-northeast-2"}},
		{"one too many", "us-eeast-1", regions, 1, []string{"us-east-1"}},
		{"one missing", "u-east-1", regions, 1, []string{"us-east-1"}},
		{"case", "REGIONONE", []string{"RegionTwo", "RegionOne"}, 1, []string{"RegionOne"}},
		{"of equals what begins alike", "t3.mega", []string{"m6.mega", "t3.mogo"}, 1, []string{"t3.mogo"}},
		{"each once", "eu-west-1", regions, 3, []string{"eu-west-1", "us-east-1", "ap-south-1"}},
		{"Hangul", "서울1", []string{"부산2", "서울2"}, 1, []string{"서울2"}},
		{"fewer than asked for", "x", []string{"b", "a"}, 5, []string{"a", "b"}},
		{"nothing asked", "", []string{"bb", "a"}, 5, []string{"a", "bb"}},
		{"nothing known", "x", nil, 5, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := slices.Clone(tc.known)
			if got := cloud.Nearest(tc.wish, tc.known, tc.n); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !slices.Equal(before, tc.known) {
				t.Error("the list was changed")
			}
		})
	}
}
