package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// netnsDir is where `ip netns` keeps named network namespaces.
const netnsDir = "/run/netns"

// onThread runs do on a system thread of its own that ends with it, so that
// whatever do changes about the thread (its network namespace) does no harm.
func onThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			// The main thread does not end: it would stay in the other
			// namespace for good. While it is held here, another one does it.
			done <- onThread(do)
			runtime.UnlockOSThread()
			return
		}
		done <- do()
	}()
	return <-done
}

// inNetns runs do on a thread inside a named network namespace. Sockets that do
// opens, processes it starts and sysctls it writes belong to that namespace.
func inNetns(name string, do func() error) error {
	return onThread(func() error {
		if err := setNetns(filepath.Join(netnsDir, name)); err != nil {
			return err
		}
		return do()
	})
}

// setNetns moves the calling thread, which must be locked, into the namespace
// that a file stands for.
func setNetns(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// makeNetns makes a named network namespace, as `ip netns add` does.
func makeNetns(name string) error {
	path := filepath.Join(netnsDir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace %s: %w", name, err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("name network namespace %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// removeNetns removes a named network namespace; one that is not there is no
// error. The namespace itself goes when its last process has gone.
func removeNetns(name string) error {
	path := filepath.Join(netnsDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

// prepareNetnsDir makes the directory a shared mount of its own, as `ip netns`
// wants it; otherwise the first `ip netns add` would put a copy over our names,
// and they could not be removed any more. Made says that it was not there.
func prepareNetnsDir() (made bool, err error) {
	err = lockedNetnsDir(func() error {
		err := unix.Mount("", netnsDir, "", unix.MS_SHARED|unix.MS_REC, "")
		if err == nil || !errors.Is(err, unix.EINVAL) {
			return err
		}
		if err := unix.Mount(netnsDir, netnsDir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
		made = true
		return unix.Mount("", netnsDir, "", unix.MS_SHARED|unix.MS_REC, "")
	})
	if err != nil {
		return made, fmt.Errorf("prepare %s: %w", netnsDir, err)
	}
	return made, nil
}

// releaseNetnsDir undoes prepareNetnsDir unless somebody uses the directory.
func releaseNetnsDir() error {
	return lockedNetnsDir(func() error {
		names, err := os.ReadDir(netnsDir)
		if err != nil || len(names) > 0 {
			return err
		}
		// Our own handle of the directory keeps it busy, so the mount is let
		// go rather than undone; it is empty.
		if err = unix.Unmount(netnsDir, unix.MNT_DETACH); errors.Is(err, unix.EINVAL) {
			return nil // gone already
		}
		return err
	})
}

// lockedNetnsDir runs do under the lock that `ip netns` takes as well.
func lockedNetnsDir(do func() error) error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return err
	}
	d, err := os.Open(netnsDir)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return errors.Join(err, d.Close())
	}
	err = do()
	return errors.Join(err, d.Close())
}
