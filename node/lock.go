package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const lockFile = "lock"

// LockedError says that another daemon uses the state folder.
type LockedError struct {
	Dir string
	Pid int // of the other daemon, 0 if not known
}

// Error implements error.
func (e *LockedError) Error() string {
	who := "another cbnetd"
	if e.Pid != 0 {
		who += fmt.Sprintf(" with pid %d", e.Pid)
	}
	return fmt.Sprintf("state %s: %s uses it: stop that one first, or use another --state and --interface", e.Dir, who)
}

// stateDir is a folder that this process alone uses.
type stateDir struct {
	path string
	lock *os.File
}

// openState makes the folder, mode 0700, and locks it. The lock ends with the
// process, however that ends.
func openState(path string) (*stateDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{Dir: path, Pid: readPid(f)}
		}
		return nil, fmt.Errorf("state lock %s: %w", f.Name(), err)
	}
	// The number is for people; a full disk must not stop the daemon.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &stateDir{path: path, lock: f}, nil
}

func readPid(f *os.File) int {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

func (s *stateDir) file(name string) string { return filepath.Join(s.path, name) }

func (s *stateDir) close() error { return s.lock.Close() }
