package netlab

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// recorder notes how a test ends.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.ended = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skip(args ...any) {
	r.ended = "skipped: " + fmt.Sprint(args...)
	runtime.Goexit()
}

func TestRequirements(t *testing.T) {
	found := func(string) (string, error) { return "/usr/sbin/nft", nil }
	none := func(string) (string, error) { return "", exec.ErrNotFound }
	tests := []struct {
		name     string
		euid     int
		lookPath func(string) (string, error)
		ci       string
		want     string // how the test begins to end; "" = it goes on
	}{
		{"all is there", 0, found, "true", ""},
		{"no root", 1000, found, "", "skipped: netlab: needs root"},
		{"no root in CI", 1000, found, "true", "failed: netlab: needs root"},
		{"no nft", 0, none, "", "skipped: netlab: needs nft(8)"},
		{"no nft in CI", 0, none, "true", "failed: netlab: needs nft(8)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := requirements(tt.euid, tt.lookPath); err != nil {
					refuse(r, err)
				}
			}()
			<-done
			if !strings.HasPrefix(r.ended, tt.want) || (r.ended == "") != (tt.want == "") {
				t.Errorf("test %q, want %q", r.ended, tt.want)
			}
		})
	}
}
