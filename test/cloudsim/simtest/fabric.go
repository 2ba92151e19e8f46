package simtest

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// NeedRoot skips a test that starts machines where that is not allowed; in CI
// it fails.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("machines need root")
	}
	t.Skip("machines need root")
}

// Machines opens a fabric whose machines boot. It logs to the test and, at its
// end, is closed and has left nothing.
func Machines(t testing.TB) *fabric.Fabric {
	t.Helper()
	NeedRoot(t)
	return open(t, fabric.Options{StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// Paper opens a fabric whose machines have states only, and run boot after their
// start. It is closed at the end of the test.
func Paper(t testing.TB, boot time.Duration) *fabric.Fabric {
	t.Helper()
	return open(t, fabric.Options{NoMachines: true, BootTime: boot})
}

func open(t testing.TB, o fabric.Options) *fabric.Fabric {
	t.Helper()
	f, err := fabric.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}
