package guest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// eth0Timeout bounds the wait for the network card after its module is in.
const eth0Timeout = 30 * time.Second

// Main is the life of the machine. It returns on failure only, after which the
// process must end: the kernel then stops the machine.
func Main() error {
	if err := mounts(); err != nil {
		return err
	}
	if err := os.Setenv("PATH", "/sbin:/bin"); err != nil { // the kernel gives none
		return err
	}
	if err := LoadModule(BootModules); err != nil {
		return err
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	params := parseParams(string(line))
	if err := unix.Sethostname([]byte(params[ParamName])); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	addrs, err := parsePrefixes(params[ParamAddrs])
	if err != nil {
		return fmt.Errorf("parameter %s: %w", ParamAddrs, err)
	}
	if err := network(addrs); err != nil {
		return err
	}
	s := &http.Server{Addr: fmt.Sprintf(":%d", Port), Handler: newServer(), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("guest: ready, kernel %s\n", Release())
	return s.ListenAndServe()
}

// mounts makes the directories that every program expects, and the nodes that a
// distribution makes so that opening one loads its module.
func mounts() error {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := os.MkdirAll("/dev/net", 0o755); err != nil {
		return err
	}
	const tun = "/dev/net/tun" // devices.txt: character device 10, 200
	if err := unix.Mknod(tun, unix.S_IFCHR|0o600, int(unix.Mkdev(10, 200))); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make %s: %w", tun, err)
	}
	if err := os.Symlink("/run", "/var/run"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// network brings loopback and the network card up.
func network(addrs []netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), eth0Timeout)
	defer cancel()
	eth, err := awaitLink(ctx, "eth0")
	if err != nil {
		return err
	}
	for _, p := range addrs {
		a, err := netlink.ParseAddr(p.String())
		if err != nil {
			return fmt.Errorf("address %s: %w", p, err)
		}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD // usable at once
		}
		if err := netlink.AddrAdd(eth, a); err != nil {
			return fmt.Errorf("address %s of eth0: %w", p, err)
		}
	}
	if err := netlink.LinkSetUp(eth); err != nil {
		return fmt.Errorf("eth0: %w", err)
	}
	return nil
}

// awaitLink waits for an interface, which appears some time after its module.
func awaitLink(ctx context.Context, name string) (netlink.Link, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := netlink.LinkByName(name)
		if err == nil {
			return l, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", name, err)
		}
	}
}

// parseParams reads a kernel's command line: words, of which ours have a value.
func parseParams(line string) map[string]string {
	out := make(map[string]string)
	for _, word := range strings.Fields(line) {
		if k, v, ok := strings.Cut(word, "="); ok {
			out[k] = v
		}
	}
	return out
}

func parsePrefixes(s string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, f := range strings.Split(s, ",") {
		p, err := netip.ParsePrefix(f)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Release returns the version of the running kernel, as `uname -r` does.
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
