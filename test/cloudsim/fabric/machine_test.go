package fabric_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
	"github.com/cbnet-io/cbnet/test/cloudsim/simtest"
)

func TestMain(m *testing.M) { simtest.Main(m) }

// ec2 is the least that cloud-init's Ec2 datasource needs.
func ec2(id, userData string) http.Handler {
	leaves := map[string]string{
		"ami-id": "ami-1", "instance-id": id, "instance-type": "t3.micro", "hostname": "ip-" + id,
		"local-hostname": "host-" + id, "local-ipv4": "10.0.1.5", "placement/availability-zone": "us-east-1a",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
			fmt.Fprint(w, "token")
			return
		}
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		version, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if !strings.HasPrefix(version, "20") && version != "latest" {
			http.NotFound(w, r)
			return
		}
		switch name := strings.TrimPrefix(rest, "meta-data/"); {
		case rest == "user-data":
			fmt.Fprint(w, userData)
		case strings.TrimSuffix(rest, "/") == "dynamic/instance-identity":
			fmt.Fprint(w, "document")
		case rest == "dynamic/instance-identity/document":
			fmt.Fprintf(w, `{"instanceId": %q, "region": "us-east-1"}`, id)
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

// consoleSays waits for a line on a VM's console.
func consoleSays(t *testing.T, f *fabric.Fabric, id, text string, times int) {
	t.Helper()
	simtest.Within(t, 30*time.Second, func() (bool, string) {
		c := string(f.Console(id))
		return strings.Count(c, text) >= times, fmt.Sprintf("%q %d times on the console of %s:\n%s", text, times, id, c)
	})
}

// bootScript is user-data that leaves a service behind, as an installer would:
// an init script that is started now and at each boot.
const bootScript = `#!/bin/sh
echo "this is $(cat /sys/class/dmi/id/product_name), $(ls /sys/class/dmi/id | wc -w) of $(ls /sys/class/net | tr '\n' ' ')" > /dev/console
mkdir -p /root && echo "ran on $(hostname) as $(id -u), sees $(ls -A /home /srv | wc -w)" | tee -a /root/ran > /dev/console
cat > /etc/init.d/hello <<'END'
#!/bin/sh
echo "hello $1 in $(wc -l < /root/ran) from pid $$" > /dev/console
END
chmod +x /etc/init.d/hello && ln -s ../init.d/hello /etc/rc2.d/S50hello
`

// TestMachineLife takes one machine through its life with the real cloud-init.
func TestMachineLife(t *testing.T) {
	f := simtest.Machines(t)
	ctx := t.Context()
	addNet(t, f, "net")
	v := vm("i-1", "10.0.1.5")
	v.Metadata, v.Product = ec2("i-1", bootScript), "A Machine"
	if err := f.StartVM(ctx, v); err != nil {
		t.Fatal(err)
	}
	consoleSays(t, f, "i-1", "ran on host-i-1 as 0, sees 2", 1)    // the names of two empty directories
	consoleSays(t, f, "i-1", "this is A Machine, 1 of eth0 lo", 1) // and the kernel's own files beside it
	consoleSays(t, f, "i-1", "vm-init: booted", 1)
	if out, err := inVM(ctx, f, "i-1", "ip", "-br", "address", "show", "eth0"); err != nil || !strings.Contains(out, "10.0.1.5/24") {
		t.Errorf("address of eth0: %s, %v", out, err)
	}

	// A reboot keeps the disk, starts the init scripts and runs no user-data.
	if err := f.RebootVM(ctx, "i-1"); err != nil {
		t.Fatal(err)
	}
	consoleSays(t, f, "i-1", "hello stop in 1", 1)
	consoleSays(t, f, "i-1", "hello start in 1", 1)
	consoleSays(t, f, "i-1", "vm-init: booted", 2)

	// Off: nothing of it is left but the disk.
	name := f.NetNS("i-1")
	if err := f.StopVM(ctx, "i-1"); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitVM(ctx, "i-1", fabric.StateStopped); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join("/run/netns", name)); err == nil || f.NetNS("i-1") != "" {
		t.Errorf("network namespace %s is there while the machine is off", name)
	}
	if err := f.StartVM(ctx, v); err != nil {
		t.Fatal(err)
	}
	consoleSays(t, f, "i-1", "hello start in 1", 2)
	consoleSays(t, f, "i-1", "vm-init: booted", 3)
	if n := strings.Count(string(f.Console("i-1")), "ran on"); n != 1 {
		t.Errorf("user-data ran %d times, want once", n)
	}
	if err := f.DeleteVM(ctx, "i-1"); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitVM(ctx, "i-1", fabric.StateTerminated); err != nil {
		t.Fatal(err)
	}
	if err := f.RemoveNetwork(ctx, "net"); err != nil {
		t.Error(err)
	}
}

// TestGuestPowers checks what the machine itself can do: restart and power off.
func TestGuestPowers(t *testing.T) {
	f := simtest.Machines(t)
	ctx := t.Context()
	addNet(t, f, "net")
	v := vm("i-1", "10.0.1.5")
	// The first boot restarts by PID 1, the second by the kernel, the third ends.
	v.Metadata = ec2("i-1", `#!/bin/sh
cat > /etc/rc2.d/S50power <<'END'
#!/bin/sh
[ "$1" = start ] || exit 0
echo x >> /root/boots
case $(wc -l < /root/boots) in
1) echo "kernel restart" > /dev/console; python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x1234567)' ;;
2) echo "power off" > /dev/console; poweroff ;;
esac
END
chmod +x /etc/rc2.d/S50power
echo "init restart" > /dev/console
reboot
`)
	if err := f.StartVM(ctx, v); err != nil {
		t.Fatal(err)
	}
	consoleSays(t, f, "i-1", "init restart", 1)
	consoleSays(t, f, "i-1", "kernel restart", 1)
	consoleSays(t, f, "i-1", "power off", 1)
	simtest.Within(t, 30*time.Second, func() (bool, string) {
		return f.VMState("i-1") == fabric.StateStopped, string(f.VMState("i-1"))
	})
}

// TestAgent boots a machine whose image has a program of its own in place of
// cloud-init: it runs at every boot, and knows the machine by its firmware.
func TestAgent(t *testing.T) {
	f := simtest.Machines(t)
	ctx := t.Context()
	addNet(t, f, "net")
	v := vm("i-1", "10.0.1.5")
	v.Datasource, v.Product = "GCE", "Google Compute Engine"
	v.Agent = "#!/bin/sh\ncommand -v cloud-init; echo \"$1 of $(hostname) on $(cat /sys/class/dmi/id/product_name), $(getent hosts metadata.google.internal)\"\n"
	if err := f.StartVM(ctx, v); err != nil {
		t.Fatal(err)
	}
	for boots := 1; boots <= 2; boots++ {
		consoleSays(t, f, "i-1", "vm-init: booted in", boots)
		out := string(f.Console("i-1"))
		if strings.Contains(out, "/cloud-init") {
			t.Fatalf("there is a cloud-init: %s", out)
		}
		const says = "startup of i-1 on Google Compute Engine, 169.254.169.254 metadata.google.internal metadata"
		if n := strings.Count(strings.Join(strings.Fields(out), " "), says); n != boots {
			t.Fatalf("%d times %q, want %d: %s", n, says, boots, out)
		}
		if err := f.RebootVM(ctx, "i-1"); err != nil {
			t.Fatal(err)
		}
	}
}
