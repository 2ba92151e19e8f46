package netlab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaces are those of a host or router, held by descriptors.
type namespaces struct {
	net, mnt int // mnt is -1 for a router
	link     *netlink.Handle
}

// onThread runs do on a system thread of its own that ends with it, so that
// whatever do changes about the thread does no harm.
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

// newNamespaces makes a network namespace and, with a template, a mount namespace
// like it.
func newNamespaces(template int) (*namespaces, error) {
	n := &namespaces{net: -1, mnt: -1}
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_FS); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		if n.net, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("network namespace: %w", err)
		}
		if err := defaults(); err != nil || template < 0 {
			return err
		}
		n.mnt, err = newMounts(template)
		return err
	})
	if err == nil {
		n.link, err = netlink.NewHandleAt(netns.NsHandle(n.net), unix.NETLINK_ROUTE)
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// newMounts moves the thread into a new mount namespace, that of a host, and
// returns its descriptor. The caller's /proc is reached by a descriptor: in the
// template's, this thread is not.
func newMounts(template int) (int, error) {
	self, err := unix.Open("/proc/thread-self/ns", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("namespaces of thread: %w", err)
	}
	defer unix.Close(self)
	if err := unix.Setns(template, unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("enter mount namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return -1, fmt.Errorf("new mount namespace: %w", err)
	}
	for _, m := range []struct{ kind, at string }{{"tmpfs", "/run"}, {"sysfs", "/sys"}} {
		if err := unix.Mount("netlab", m.at, m.kind, unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
			return -1, fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	fd, err := unix.Openat(self, "mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount namespace: %w", err)
	}
	return fd, nil
}

// defaults sets the sysctls of the thread's network namespace.
func defaults() error {
	for _, s := range []struct{ path, value string }{
		{"ipv4/ping_group_range", "0 2147483647"}, // for Host.Ping
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv6/conf/all/accept_dad", "0"}, // addresses work at once
		{"ipv6/conf/default/accept_dad", "0"},
	} {
		if err := sysctl(s.path, s.value); err != nil {
			return err
		}
	}
	return nil
}

// sysctl sets one below /proc/sys/net, in the network namespace of the thread.
func sysctl(path, value string) error {
	if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0); err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	return nil
}

// do runs f on a thread in the namespaces.
func (n *namespaces) do(f func() error) error {
	return onThread(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the calling thread, which must be locked, into the namespaces.
func (n *namespaces) enter() error {
	if err := unix.Setns(n.net, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // root and working directory
		return fmt.Errorf("leave file system context: %w", err)
	}
	if n.mnt < 0 {
		return nil
	}
	if err := unix.Setns(n.mnt, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter mount namespace: %w", err)
	}
	return nil
}

// close lets the namespaces go; the kernel removes them with the last process.
func (n *namespaces) close() error {
	if n.link != nil {
		n.link.Close()
	}
	var err error
	for _, fd := range []*int{&n.net, &n.mnt} {
		if *fd >= 0 {
			err = errors.Join(err, unix.Close(*fd))
			*fd = -1
		}
	}
	return err
}
