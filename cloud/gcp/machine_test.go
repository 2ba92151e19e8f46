package gcp_test

import (
	"bytes"
	"compress/gzip"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/cloud/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	simgcp "github.com/cbnet-io/cbnet/test/cloudsim/gcp"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// TestUserData starts machines of both images: each runs its user-data once,
// Ubuntu's by cloud-init, and Debian's, which has none, by the start-up script.
// So does Debian's with the program of Google's guest agent itself, where that is
// installed.
func TestUserData(t *testing.T) {
	simtest.NeedRoot(t)
	var agent []byte
	if path, err := exec.LookPath("google_metadata_script_runner"); err == nil {
		if agent, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	} else if os.Getenv("CI") != "" {
		t.Fatal("google_metadata_script_runner is not installed: see the Makefile")
	} else {
		t.Log("NOT CHECKED: Google's own google_metadata_script_runner is not installed")
	}
	f := simtest.Machines(t)
	runsUserData(t, f, "ubuntu-24.04", "", "10.0.0.4")
	runsUserData(t, f, "debian-12", "", "10.0.0.5")
	if agent != nil {
		runsUserData(t, f, "debian-12", string(agent), "10.0.0.6")
	}
}

// packed compresses a text: user-data may be any bytes.
func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// runsUserData starts a machine of an image, restarts it, and looks for what its
// user-data has said.
func runsUserData(t *testing.T, f *fabric.Fabric, image, agent, ip string) {
	t.Helper()
	ctx := t.Context()
	srv := httptest.NewUnstartedServer(nil)
	url := "http://" + srv.Listener.Addr().String()
	sim := simgcp.New(simgcp.Options{Fabric: f, URL: url, Agent: agent, OpTime: 10 * time.Millisecond})
	srv.Config.Handler = sim.Handler()
	srv.Start()
	defer srv.Close()
	d := newDriver(t, gcp.Config{Endpoint: url, Credentials: sim.Credentials()})
	const region = "us-central1"
	owner := cloud.Owner{Mesh: "m", MCIS: "i"}
	network, err := d.EnsureNetwork(ctx, cloud.NetworkSpec{Owner: owner, Region: region, Name: "n", CIDR: netip.MustParsePrefix("10.0.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	images, err := d.Images(ctx, region)
	if err != nil {
		t.Fatal(err)
	}
	img, err := cloud.ResolveImage(images, image)
	if err != nil {
		t.Fatal(err)
	}
	const says = "user-data ran on "
	vm, err := d.CreateVM(ctx, cloud.VMSpec{
		Owner: owner, Region: region, Name: "1-vm", Node: "vm", Token: "t", Network: network, PrivateIP: netip.MustParseAddr(ip), Spec: "e2-small", Image: img.ID,
		UserData: packed(t, "#!/bin/sh\necho '"+says+"'$(hostname) > /dev/console\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for boots := 1; boots <= 2; boots++ {
		var out string
		end := time.Now().Add(time.Minute)
		for strings.Count(out, "vm-init: booted in") < boots {
			if time.Now().After(end) {
				t.Fatalf("%s: not booted %d times in a minute: %s", image, boots, out)
			}
			if out, err = d.ConsoleOutput(ctx, region, vm.ID); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(out, says+"x-1-vm"); n != 1 {
			t.Errorf("%s, agent of %d bytes: user-data ran %d times after %d boots, want once: %s", image, len(agent), n, boots, out)
		}
		if err := d.Reboot(ctx, region, vm.ID); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s, agent of %d bytes: user-data ran once in two boots", image, len(agent))
}
