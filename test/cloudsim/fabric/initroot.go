package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// droppedCapabilities is what even root in a VM
// must not do, because there is one kernel for all.
var droppedCapabilities = []uintptr{
	unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_TIME, unix.CAP_SYSLOG,
	unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_AUDIT_CONTROL, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND,
}

// mount is one call of mount(2); the target is below the new root.
type mount struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

// device is a character device of a VM.
type device struct {
	name         string
	mode         uint32
	major, minor uint32
}

// makeRoot makes the VM's view of files: the disk in the working directory
// becomes the root, with the kernel's file systems on it, and nothing of the host
// is left.
func makeRoot(c initConfig) error {
	// Nothing of what is mounted from here on shows outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, "lowerdir=/,upperdir=upper,workdir=work"); err != nil {
		return fmt.Errorf("mount disk: %w", err)
	}
	for _, m := range rootMounts() {
		if err := os.MkdirAll(filepath.Join("root", m.target), 0o755); err != nil {
			return fmt.Errorf("mount point %s: %w", m.target, err)
		}
		if err := unix.Mount(m.source, filepath.Join("root", m.target), m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if len(c.SysFiles) > 0 {
		if err := addSysFiles("root/sys", c.SysFiles); err != nil {
			return err
		}
	}
	if err := makeDevices("root/dev", c.Terminal); err != nil {
		return err
	}
	if err := enterRoot("root"); err != nil {
		return err
	}
	if err := protectKernel(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(c.Hostname)); err != nil {
		return fmt.Errorf("host name %s: %w", c.Hostname, err)
	}
	return nil
}

// rootMounts are the file systems of a VM, in order. /sys shows the network
// devices of the VM only, and cannot be written to.
func rootMounts() []mount {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mount{
		{"proc", "proc", "proc", safe, ""},
		{"sysfs", "sys", "sysfs", safe | unix.MS_RDONLY, ""},
		{"tmpfs", "dev", "tmpfs", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
		{"tmpfs", "dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmpfs", "run/lock", "tmpfs", safe, "mode=1777"},
		{"tmpfs", "tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
}

// addSysFiles shows more files in a mounted sysfs, where nothing can be made:
// sysfs moves aside, and a small file system with the files takes its place, on
// which everything else of it is bound.
func addSysFiles(sys string, files map[string]string) error {
	const aside = "sysfs"
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return fmt.Errorf("files in /sys: %w", err)
	}
	if err := unix.Mount(sys, aside, "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move sysfs: %w", err)
	}
	if err := unix.Mount("tmpfs", sys, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0555"); err != nil {
		return fmt.Errorf("mount %s: %w", sys, err)
	}
	if err := bindAround(aside, sys, files); err != nil {
		return fmt.Errorf("files in /sys: %w", err)
	}
	return nil
}

// bindAround fills the directory to with what the directory from has, if there
// is one, and with files, by path below it.
func bindAround(from, to string, files map[string]string) error {
	below := map[string]map[string]string{} // by first element of the path
	for path, text := range files {
		dir, rest, nested := strings.Cut(path, "/")
		if !nested {
			if err := os.WriteFile(filepath.Join(to, path), []byte(text+"\n"), 0o444); err != nil {
				return err
			}
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]string{}
		}
		below[dir][rest] = text
	}
	for dir, files := range below {
		if err := os.Mkdir(filepath.Join(to, dir), 0o555); err != nil {
			return err
		}
		if err := bindAround(filepath.Join(from, dir), filepath.Join(to, dir), files); err != nil {
			return err
		}
	}
	if info, err := os.Lstat(from); err != nil || !info.IsDir() {
		return nil // the kernel has no such directory, or a link, which the files replace
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := bindEntry(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), e); err != nil {
			return err
		}
	}
	return nil
}

// bindEntry shows an entry of a directory in another one that is as deep, unless
// something is there already.
func bindEntry(from, to string, e fs.DirEntry) error {
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case e.IsDir():
		if err := os.Mkdir(to, 0o555); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(to, nil, 0o444); err != nil {
			return err
		}
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", to, err)
	}
	return nil
}

// makeDevices fills /dev. The console is the terminal that the fabric reads.
func makeDevices(dev, terminal string) error {
	old := unix.Umask(0)
	defer unix.Umask(old)
	if err := os.Mkdir(filepath.Join(dev, "net"), 0o755); err != nil {
		return fmt.Errorf("make devices: %w", err)
	}
	for _, d := range []device{
		{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"full", 0o666, 1, 7},
		{"random", 0o666, 1, 8}, {"urandom", 0o666, 1, 9},
		{"tty", 0o666, 5, 0}, {"net/tun", 0o666, 10, 200},
	} {
		err := unix.Mknod(filepath.Join(dev, d.name), unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor)))
		if err != nil {
			return fmt.Errorf("make device %s: %w", d.name, err)
		}
	}
	for name, to := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(to, filepath.Join(dev, name)); err != nil {
			return fmt.Errorf("make device %s: %w", name, err)
		}
	}
	console := filepath.Join(dev, "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		return fmt.Errorf("make console: %w", err)
	}
	if err := unix.Mount(terminal, console, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("make console: %w", err)
	}
	return nil
}

// enterRoot makes a mount point the root directory and lets go of the old one;
// see pivot_root(2), "pivot_root(".", ".")".
func enterRoot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter disk: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter disk: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's files: %w", err)
	}
	return unix.Chdir("/")
}

// protectKernel takes away what reaches beyond the namespaces: sysctls other
// than the network's, which are the VM's own, and some capabilities. A new
// process cannot get them back.
func protectKernel() error {
	for _, m := range []mount{
		{"/proc/sys", "/proc/sys", "", unix.MS_BIND, ""},
		{"/proc/sys/net", "/proc/sys/net", "", unix.MS_BIND, ""},
		{"", "/proc/sys", "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY, ""},
		{"/dev/null", "/proc/sysrq-trigger", "", unix.MS_BIND, ""},
		{"/dev/null", "/proc/kcore", "", unix.MS_BIND, ""},
	} {
		err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("protect %s: %w", m.target, err)
		}
	}
	return dropCapabilities()
}

// dropCapabilities limits all programs that this process starts: the bounding
// set is inherited by, and taken from the thread that forks, so every thread of
// the process gives them up.
func dropCapabilities() error {
	for _, c := range droppedCapabilities {
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		// EINVAL: unknown to an older kernel. ENOTSUP: a build with cgo, which
		// race tests are, cannot; there the VM is trusted.
		if errno != 0 && errno != unix.EINVAL && errno != unix.ENOTSUP {
			return fmt.Errorf("drop capability %d: %w", c, errno)
		}
	}
	return nil
}
