package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A disk is a directory with the parts of an overlay over the host's root file
// system, which plays the part of the cloud's image:
//
//	upper  what differs from the host; kept over reboots
//	work   overlayfs's own
//	root   where PID 1 mounts the result, in its own mount namespace
//
// The image must not show what belongs to the host alone: its users' files, its
// keys and its services.

// rootDirs are the top-level directories of a Linux system (FHS 3.0) that a
// guest sees; everything else at the top is the host's own and hidden.
const rootDirs = "bin boot dev etc home lib lib32 lib64 libx32 media mnt opt proc root run sbin srv sys tmp usr var"

// emptied are directories that exist in a fresh image but are empty.
var emptied = []string{
	"boot", "dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp",
	"etc/cloud/cloud.cfg.d",
	"etc/rc0.d", "etc/rc1.d", "etc/rc2.d", "etc/rc3.d", "etc/rc4.d", "etc/rc5.d", "etc/rc6.d", "etc/rcS.d",
	"usr/local", "var/backups", "var/cache/apt", "var/lib/cloud", "var/log", "var/mail", "var/spool/cron", "var/tmp",
}

// hidden are files and directories that a fresh image does not have; the last
// element may be a pattern. No DHCP client: the network is configured already,
// and cloud-init would ask for a lease that nobody gives.
var hidden = []string{
	"etc/cbnet", "etc/kubernetes", "etc/openstack", "etc/wireguard", "etc/ssl/private", "etc/ssh/ssh_host_*",
	"etc/init.d/cbnetd*", "etc/systemd/system/cbnetd*",
	"var/lib/cbnet", "var/lib/containerd", "var/lib/dbus/machine-id", "var/lib/docker", "var/lib/etcd",
	"var/lib/kubelet", "var/lib/libvirt", "var/lib/mysql", "var/lib/postgresql",
	"sbin/dhclient", "usr/sbin/dhclient", "sbin/dhcpcd", "usr/sbin/dhcpcd", "sbin/udhcpc", "usr/sbin/udhcpc",
}

// prepareDisk makes the disk of a VM, unless it has one already.
func prepareDisk(dir string, v VM) error {
	upper := filepath.Join(dir, "upper")
	if _, err := os.Stat(upper); err == nil {
		return nil
	}
	// Made under another name first: a disk that is there is complete.
	d := diskWriter{base: "/", upper: filepath.Join(dir, "new")}
	for _, sub := range []string{"new", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return fmt.Errorf("make disk: %w", err)
		}
	}
	if err := d.fill(v); err != nil {
		return errors.Join(fmt.Errorf("make disk: %w", err), os.RemoveAll(dir))
	}
	if err := os.Rename(d.upper, upper); err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	return nil
}

// diskWriter writes into the upper directory of an overlay.
type diskWriter struct {
	base  string // the lower directory
	upper string
}

// fill writes all that a guest's disk has and the image has not.
func (d diskWriter) fill(v VM) error {
	top, err := os.ReadDir(d.base)
	if err != nil {
		return err
	}
	known := strings.Fields(rootDirs)
	for _, e := range top {
		if !slices.Contains(known, e.Name()) {
			if err := d.hide(e.Name()); err != nil {
				return err
			}
		}
	}
	for _, path := range hidden {
		if err := d.hideAll(path); err != nil {
			return err
		}
	}
	if v.Agent != "" {
		if err := d.hide("usr/bin/cloud-init"); err != nil {
			return err
		}
	}
	for _, path := range emptied {
		if err := d.empty(path); err != nil {
			return err
		}
	}
	for _, sub := range []string{"bin", "etc", "games", "include", "lib", "man", "sbin", "share", "src"} {
		if err := os.MkdirAll(filepath.Join(d.upper, "usr/local", sub), 0o755); err != nil {
			return err
		}
	}
	for path, f := range guestFiles(v) {
		if err := d.write(path, f.text, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// hideAll hides the entries that match a path whose last element is a pattern.
func (d diskWriter) hideAll(pattern string) error {
	paths, err := filepath.Glob(filepath.Join(d.base, pattern))
	if err != nil {
		return err
	}
	for _, p := range paths {
		rel, err := filepath.Rel(d.base, p)
		if err != nil {
			return err
		}
		if err := d.hide(rel); err != nil {
			return err
		}
	}
	return nil
}

// hide makes one entry of the lower directory invisible, by what overlayfs calls
// a whiteout.
func (d diskWriter) hide(path string) error {
	if ok, err := d.parents(path); err != nil || !ok {
		return err
	}
	if err := unix.Mknod(filepath.Join(d.upper, path), unix.S_IFCHR, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("hide /%s: %w", path, err)
	}
	return nil
}

// empty makes a directory of the lower one empty, by what overlayfs calls an
// opaque directory. A directory that is not there stays so.
func (d diskWriter) empty(path string) error {
	info, err := os.Lstat(filepath.Join(d.base, path))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	if ok, err := d.parents(filepath.Join(path, "x")); err != nil || !ok {
		return err
	}
	if err := unix.Setxattr(filepath.Join(d.upper, path), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("empty /%s: %w", path, err)
	}
	return nil
}

// write makes a file, instead of what the lower directory has there.
func (d diskWriter) write(path, text string, mode fs.FileMode) error {
	if _, err := d.parents(path); err != nil {
		return err
	}
	full := filepath.Join(d.upper, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(full, mode) // whatever the umask
}

// parents makes the directories above a path in the upper directory, with the
// owner and mode that they have in the lower one, which the upper one's replace.
// It is false where one of them is missing there, or is a link to elsewhere.
func (d diskWriter) parents(path string) (bool, error) {
	dir := ""
	for _, name := range strings.Split(filepath.Dir(path), "/") {
		if name == "." {
			continue
		}
		dir = filepath.Join(dir, name)
		info, err := os.Lstat(filepath.Join(d.base, dir))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		full := filepath.Join(d.upper, dir)
		if err := os.Mkdir(full, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return false, err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return false, fmt.Errorf("owner of /%s: unknown", dir)
		}
		if err := errors.Join(os.Chown(full, int(st.Uid), int(st.Gid)), os.Chmod(full, info.Mode())); err != nil {
			return false, err
		}
	}
	return true, nil
}
