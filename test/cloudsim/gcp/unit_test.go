package gcp_test

import (
	"strings"
	"testing"

	"github.com/cbnet-io/cbnet/test/cloudsim/gcp"
)

func TestFilter(t *testing.T) {
	doc := map[string]any{
		"name": "web-0", "status": "RUNNING", "httpErrorStatusCode": 503, "description": "cbnet-mesh=m cbnet-mcis=i",
		"labels": map[string]string{"env": "web", "a.b": "dotted"}, "scheduling": map[string]any{"automaticRestart": true}, "zones": []string{"a", "b"},
	}
	for filter, want := range map[string]bool{
		``:                                   true,
		`name = web-0`:                       true,
		`name="web-1"`:                       false,
		`name != web-1`:                      true,
		`name eq web-.`:                      true,
		`name eq web`:                        false, // matches the whole field
		`name ne "web.*"`:                    false,
		`(name eq w.*) (status eq R.*)`:      true,
		`labels.env = web`:                   true,
		`labels.a.b = dotted`:                true,
		`labels.env:*`:                       true,
		`labels.none:*`:                      false,
		`labels:env`:                         true,
		`zones:b`:                            true,
		`zones:c`:                            false,
		`description : "cbnet-mcis=i"`:       true,
		`none = "x"`:                         false,
		`none != "x"`:                        true,
		`scheduling.automaticRestart = true`: true,
		`httpErrorStatusCode >= 400`:         true,
		`httpErrorStatusCode < 400`:          false,
		`httpErrorStatusCode = 503`:          true,
		`none >= 400`:                        false,
		`(status != "DONE") OR (httpErrorStatusCode >= 600)`: true,
		`(status = "DONE") OR (httpErrorStatusCode >= 600)`:  false,
		`(name = web-0) AND (status = DONE)`:                 false,
		`(name = web-0) (status = RUNNING)`:                  true,
		`name = x AND status = RUNNING OR labels.env = web`:  false, // OR binds closer
		`NOT name = web-1`:                                   true,
		`NOT (name = web-0 AND status = RUNNING)`:            false,
	} {
		got, err := gcp.Filter(filter, doc)
		if err != nil || got != want {
			t.Errorf("%s: got %t, %v; want %t", filter, got, err, want)
		}
	}
	for _, bad := range []string{
		`name`, `name =`, `= x`, `(name = x`, `name = x)`, `name ~ x`, `name eq "("`, `(name eq x) (name = x)`, `name = "x`, `!`, strings.Repeat("(", 50) + "a=b" + strings.Repeat(")", 50),
	} {
		if _, err := gcp.Filter(bad, doc); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestPlaces: as many regions and zones as Google says it has.
func TestPlaces(t *testing.T) {
	if r, z := open(t).cloud.ZoneCount(); r != 42 || z != 127 {
		t.Errorf("%d regions and %d zones, want 42 and 127", r, z)
	}
}
