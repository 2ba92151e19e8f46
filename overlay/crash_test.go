package overlay_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/cbnet-io/cbnet/overlay"
)

func TestVanishedInterfaceIsMadeAnew(t *testing.T) {
	if !insideLab(t) {
		return
	}
	defer goleak.VerifyNone(t)
	d := open(t, overlay.Options{})
	defer d.Close()
	c := config(t)
	set(t, d, c)
	l, err := netlink.LinkByName("cbn0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(l); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Peers(); err == nil {
		t.Log("the device still answers for its peers")
	}
	set(t, d, c)
	if got := addresses(t); !strings.Contains(got, "10.66.0.1/32") {
		t.Errorf("addresses %s", got)
	}
	if ps, err := d.Peers(); err != nil || len(ps) != 2 {
		t.Errorf("%d peers, %v; want 2", len(ps), err)
	}
}

func TestInterfaceInUse(t *testing.T) {
	if !insideLab(t) {
		return
	}
	other := newNeighbour(t)
	other.do(call{Op: "open", Options: overlay.Options{Interface: "cbn0"}})
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"Open", func() error { _, err := overlay.Open(t.Context(), overlay.Options{Interface: "cbn0"}); return err }},
		{"Cleanup", func() error { return overlay.Cleanup("cbn0") }},
	} {
		if err := try.do(); !errors.Is(err, overlay.ErrInUse) {
			t.Errorf("%s beside a running daemon: %v", try.name, err)
		}
	}
	bridge(t, "br0")
	if _, err := overlay.Open(t.Context(), overlay.Options{Interface: "br0"}); !errors.Is(err, overlay.ErrInUse) || !strings.Contains(err.Error(), "bridge") {
		t.Errorf("Open of somebody's bridge: %v", err)
	}
	if err := overlay.Cleanup("br0"); !errors.Is(err, overlay.ErrInUse) {
		t.Errorf("Cleanup of somebody's bridge: %v", err)
	}
	if got := linkNames(t); got != "lo cbn0 br0" {
		t.Errorf("interfaces %q, want lo cbn0 br0", got)
	}
}

func TestCleanupAfterCrash(t *testing.T) {
	if !insideLab(t) {
		return
	}
	defer goleak.VerifyNone(t)
	const socket = "/var/run/wireguard/cbn0.sock"
	crash := func() {
		h := newNeighbour(t)
		h.do(call{Op: "open", Options: overlay.Options{Interface: "cbn0", Datapath: overlay.Userspace}})
		h.do(call{Op: "set", Config: config(t)})
		info, err := os.Stat(socket)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("UAPI socket %v, %v; want mode 0600", info, err)
		}
		h.kill()
		if _, err := os.Stat(socket); err != nil {
			t.Fatalf("a crash leaves no socket, so this test shows nothing: %v", err)
		}
	}
	crash()
	for range 2 { // the second finds nothing, and is no error
		if err := overlay.Cleanup("cbn0"); err != nil {
			t.Errorf("Cleanup: %v", err)
		}
	}
	for _, dir := range []string{"/run/wireguard", "/run/cbnet"} {
		if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
			t.Errorf("Cleanup left %q", left)
		}
	}
	// A leftover interface with our mark goes too.
	bridge(t, "cbn0")
	l, err := netlink.LinkByName("cbn0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetAlias(l, "cbnet"); err != nil {
		t.Fatal(err)
	}
	if err := overlay.Cleanup("cbn0"); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
	// So does one whose maker crashed before the alias was on it.
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = "cbn0", overlay.MarkGroup
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	if err := overlay.Cleanup("cbn0"); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
	if got := linkNames(t); got != "lo" {
		t.Errorf("interfaces %q, want lo", got)
	}
	// And what was left of a socket that was about to be made.
	half := "/var/run/wireguard/.cbnet-123"
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(half, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := overlay.Cleanup("cbn0"); err != nil {
		t.Errorf("Cleanup: %v", err)
	}
	if _, err := os.Stat(half); err == nil {
		t.Errorf("Cleanup left %s", half)
	}
	// Without Cleanup, Open copes.
	crash()
	d := open(t, overlay.Options{})
	set(t, d, config(t))
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestKernelInterfaceIsAdopted(t *testing.T) {
	if !insideLab(t) {
		return
	}
	h := newNeighbour(t)
	if r := h.try(call{Op: "open", Options: overlay.Options{Interface: "cbn0", Datapath: overlay.Kernel}}); r.Err != "" {
		t.Logf("nothing to adopt here: %s", r.Err)
		return
	}
	c := config(t)
	h.do(call{Op: "set", Config: c})
	h.kill()
	d := open(t, overlay.Options{})
	if ps, err := d.Peers(); err != nil || len(ps) != len(c.Peers) || d.Datapath() != overlay.Kernel {
		t.Fatalf("adopted %d peers on datapath %s, %v; want %d on the kernel's", len(ps), d.Datapath(), err, len(c.Peers))
	}
	var changes []string
	d.Record(func(s string) { changes = append(changes, s) })
	set(t, d, c)
	if len(changes) > 0 {
		t.Errorf("Set of what is there already changed %q", changes)
	}
	other := newNeighbour(t)
	other.do(call{Op: "cleanup", Args: []string{"cbn1"}})
	if r := other.try(call{Op: "cleanup", Args: []string{"cbn0"}}); !r.InUse {
		t.Errorf("Cleanup of an adopted interface: %q", r.Err)
	}
}
