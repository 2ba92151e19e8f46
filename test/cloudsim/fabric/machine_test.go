package fabric_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

func TestMain(m *testing.M) {
	if fabric.IsInit(os.Args) {
		os.Exit(fabric.Init())
	}
	os.Exit(m.Run())
}

// needMachines skips a test that cannot have namespaces, which in CI is a fault.
func needMachines(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("machines need root")
	}
	t.Skip("machines need root")
}

// open opens a fabric with machines that is closed, and leaves nothing, at the
// end of the test.
func open(t *testing.T) *fabric.Fabric {
	t.Helper()
	needMachines(t)
	f, err := fabric.Open(t.Context(), fabric.Options{StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
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

// ec2 is the least that cloud-init's Ec2 datasource needs.
func ec2(id, userData string) http.Handler {
	leaves := map[string]string{
		"ami-id": "ami-1", "instance-id": id, "instance-type": "t3.micro", "hostname": "ip-" + id,
		"local-hostname": "host-" + id, "local-ipv4": "10.0.1.5", "placement/availability-zone": "us-east-1a",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if version != "2009-04-04" && version != "latest" {
			http.NotFound(w, r)
			return
		}
		switch name := strings.TrimPrefix(rest, "meta-data/"); {
		case rest == "user-data":
			fmt.Fprint(w, userData)
		case rest == "meta-data/":
			fmt.Fprint(w, "ami-id\ninstance-id\ninstance-type\nhostname\nlocal-hostname\nlocal-ipv4\nplacement/")
		case rest == "meta-data/placement/":
			fmt.Fprint(w, "availability-zone")
		case leaves[name] != "":
			fmt.Fprint(w, leaves[name])
		default:
			http.NotFound(w, r)
		}
	})
}

// inVM runs a command in the network namespace of a VM.
func inVM(ctx context.Context, f *fabric.Fabric, id string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", f.NetNS(id)}, argv...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// until polls a condition, and fails the test with what it says last.
func until(t *testing.T, d time.Duration, cond func() (bool, string)) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, why := cond()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", d, why)
		}
	}
}

// consoleSays waits for a line on a VM's console.
func consoleSays(t *testing.T, f *fabric.Fabric, id, text string, times int) {
	t.Helper()
	until(t, 60*time.Second, func() (bool, string) {
		c := string(f.Console(id))
		return strings.Count(c, text) >= times, fmt.Sprintf("%q %d times on the console of %s:\n%s", text, times, id, c)
	})
}

func TestMachineBoots(t *testing.T) {
	f := open(t)
	ctx := t.Context()
	if err := f.AddNetwork(ctx, fabric.Network{ID: "vpc", CIDR: netip.MustParsePrefix("10.0.0.0/16")}); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
echo "script on $(hostname) as $(id -u)" | tee /root/ran > /dev/console
ls -A /root /home /work 2>&1
ls -l /dev; mount; ps ax; cat /proc/1/environ | tr '\0' '\n'
`
	vm := fabric.VM{
		ID: "i-1", NetworkID: "vpc", PrivateIP: netip.MustParseAddr("10.0.1.5"), Subnet: netip.MustParsePrefix("10.0.1.0/24"),
		Datasource: "Ec2", Metadata: ec2("i-1", script),
	}
	if err := f.StartVM(ctx, vm); err != nil {
		t.Fatal(err)
	}
	consoleSays(t, f, "i-1", "script on host-i-1 as 0", 1)
	consoleSays(t, f, "i-1", "vm-init: booted", 1)
	t.Logf("%s", f.Console("i-1"))
	names, _ := filepath.Glob("/run/netns/*")
	t.Log(names)
}
