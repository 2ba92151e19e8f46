package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/node/enroll"
)

const lockFile = "lock"

// marks are files by which a state folder is known: at least one of them is
// there whatever a daemon was doing when it died.
var marks = []string{lockFile, wireGuardKeyFile, enroll.BundleFile, "identity.key", "record.json", "peers.json"}

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
	if err := checkOurs(path); err != nil {
		return nil, err
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
	s := &stateDir{path: path, lock: f}
	if err := s.sweep(); err != nil {
		return nil, errors.Join(fmt.Errorf("state folder: %w", err), s.close())
	}
	return s, nil
}

// checkOurs refuses a folder with files of somebody else's in it: its mode and
// what `cbnetd uninstall --purge` removes are not ours to decide.
func checkOurs(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	others := ""
	for _, e := range entries {
		if slices.Contains(marks, e.Name()) {
			return nil
		}
		if e.Name() != "lost+found" { // of a file system of its own
			others = e.Name()
		}
	}
	if others == "" {
		return nil
	}
	return &InputError{What: "--state", Err: fmt.Errorf("%s holds other files, such as %s, and none of cbnetd's: want a new or an empty folder", path, others)}
}

// sweep removes files that a crash left half-written: they may hold keys.
func (s *stateDir) sweep() error {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		hidden, ok := strings.CutPrefix(e.Name(), ".")
		if !ok {
			continue
		}
		if err := identity.RemoveUnfinished(s.file(strings.TrimSuffix(hidden, filepath.Ext(hidden)))); err != nil {
			return err
		}
	}
	return nil
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
