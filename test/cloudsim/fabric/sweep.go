package fabric

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names of what a fabric makes on the host. They are fixed: there is one fabric
// per network namespace, and what bears them belongs to it or to a dead one.
const (
	bridgeName   = "csim0"
	uplinkPrefix = "csu" // + index of the router
)

// netnsPrefix begins the names of all network namespaces of a claim.
func (c *claim) netnsPrefix() string { return "csim-" + c.id + "-" }

// mountSource marks the mounts of a claim.
func (c *claim) mountSource() string { return "cloudsim-" + c.id }

// sweepDead removes what fabrics in other network namespaces left that died.
func sweepDead(ctx context.Context, own string) error {
	files, err := filepath.Glob(filepath.Join(lockDir, "*.lock"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		id := strings.TrimSuffix(filepath.Base(file), ".lock")
		if _, err := strconv.ParseUint(id, 36, 64); err != nil || id == own {
			continue // ours, or not a lock: an id must not be a pattern
		}
		c, err := takeClaim(id)
		if locked := (*LockedError)(nil); errors.As(err, &locked) {
			continue
		} else if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, c.sweep(ctx, false), c.release())
	}
	return errors.Join(errs...)
}

// sweep removes everything that bears a claim's names: processes first, then
// links, namespaces and mounts. Links only if the claim is of this very network
// namespace. What is not there is no error.
func (c *claim) sweep(ctx context.Context, links bool) error {
	var errs []error
	for _, p := range c.rec.Processes {
		errs = append(errs, endProcess(ctx, p))
	}
	if links {
		errs = append(errs, sweepLinks())
	}
	names, err := filepath.Glob(filepath.Join(netnsDir, c.netnsPrefix()+"*"))
	errs = append(errs, err)
	for _, n := range names {
		errs = append(errs, removeNetns(filepath.Base(n)))
	}
	errs = append(errs, sweepMounts(c.mountSource()))
	if c.rec.MadeNetns {
		errs = append(errs, releaseNetnsDir())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// endProcess kills a process, if it is still the one that was recorded, and
// waits until it has gone.
func endProcess(ctx context.Context, p process) error {
	if !p.alive() {
		return nil
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end process %d: %w", p.PID, err)
	}
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for p.alive() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("end process %d: %w", p.PID, ctx.Err())
		}
	}
	return nil
}

// sweepLinks removes the bridge and the uplinks from this network namespace.
func sweepLinks() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		name := l.Attrs().Name
		ours := l.Type() == "veth" && strings.HasPrefix(name, uplinkPrefix) || l.Type() == "bridge" && name == bridgeName
		if !ours {
			continue
		}
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("remove link %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// sweepMounts unmounts everything from a source, last mounted first.
func sweepMounts(source string) error {
	points, err := mountPoints(source)
	if err != nil {
		return err
	}
	var errs []error
	for i := len(points) - 1; i >= 0; i-- {
		if err := unix.Unmount(points[i], unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", points[i], err))
		}
	}
	return errors.Join(errs...)
}

// mountPoints lists where a source is mounted, in the order of mounting.
func mountPoints(source string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close()
	var points []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPER
		front, back, ok := strings.Cut(lines.Text(), " - ")
		head, tail := strings.Fields(front), strings.Fields(back)
		if ok && len(head) >= 5 && len(tail) >= 2 && tail[1] == source {
			points = append(points, unescapeMount(head[4]))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return points, nil
}

// unescapeMount undoes the octal escapes of proc(5).
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
