package main

import (
	"testing"

	"github.com/cbnet-io/cbnet/overlay"
)

func TestGCPercent(t *testing.T) {
	tests := []struct {
		name      string
		datapath  overlay.Datapath
		noOffload bool
		env       string
		want      bool
	}{
		{"userspace", overlay.Userspace, false, "", true},
		{"userspace, set by hand", overlay.Userspace, false, "100", false},
		{"without offload, which has few buffers", overlay.Userspace, true, "", false},
		{"the kernel's, which has none here", overlay.Kernel, false, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := gcPercent(tt.datapath, tt.noOffload, tt.env); got != tt.want {
				t.Errorf("set: %t, want %t", got, tt.want)
			}
		})
	}
}
