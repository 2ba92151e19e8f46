package overlay_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/overlay"
	"github.com/cbnet-io/cbnet/overlay/overlaytest"
)

func TestConformance(t *testing.T) {
	if !insideLab(t) {
		return
	}
	conform(t, overlay.Options{Interface: "cbn0", Datapath: overlay.Auto})
}

func TestConformanceNoOffload(t *testing.T) {
	if !insideLab(t) {
		return
	}
	conform(t, overlay.Options{Interface: "cbn0", Datapath: overlay.Userspace, NoOffload: true})
}

func conform(t *testing.T, o overlay.Options) {
	defer goleak.VerifyNone(t)
	overlaytest.Conformance(t, func(t *testing.T) overlaytest.Device {
		d, err := overlay.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
