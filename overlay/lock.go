package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir holds one lock file for each interface of a running daemon.
const lockDir = "/run/cbnet"

// lock keeps two processes from driving one interface. It ends with the
// process, so a crash leaves none behind.
type lock struct{ file *os.File }

// acquire takes the lock of the interface name in this network namespace. It
// fails with ErrInUse if another process has it.
func acquire(name string) (*lock, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	// Interface names are unique in a network namespace only: "net:[4026531840]".
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	id := strings.Trim(strings.TrimPrefix(ns, "net:"), "[]")
	path := filepath.Join(lockDir, name+"."+id+".lock")
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("interface %s: %w: a running process has it (lock %s)", name, ErrInUse, path)
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if samePath(f, path) {
			return &lock{f}, nil
		}
		f.Close() // the previous holder removed the file between our open and flock
	}
}

func samePath(f *os.File, path string) bool {
	held, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, there)
}

// release removes the lock file, while it is held, and gives the lock up.
func (l *lock) release() error {
	return errors.Join(os.Remove(l.file.Name()), l.file.Close())
}

// checkName accepts what the kernel accepts as an interface name, and what is
// safe as a part of a file name.
func checkName(name string) error {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' }
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("interface name %q: want 1 to 15 printable characters without space, slash, colon and percent", name)
	}
	return nil
}
