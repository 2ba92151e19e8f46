package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cleanup removes what a crashed process left of an interface: the interface
// with its routes if the kernel held it, and a stale UAPI socket. It is no
// error if there is nothing. A running process's interface, and one that this
// package did not make, stay, with [ErrInUse].
func Cleanup(iface string) error {
	l, err := acquire(iface)
	if err != nil {
		return err
	}
	if err := errors.Join(removeLink(iface), removeStale(uapiPath(iface)), removeHalfMade(), l.release()); err != nil {
		return fmt.Errorf("clean up %s: %w", iface, err)
	}
	return nil
}

// halfMade is the age from which a private directory of listenUAPI is a crash's:
// it exists for a moment only.
const halfMade = time.Minute

// removeHalfMade removes what crashes left while they made a UAPI socket.
func removeHalfMade() error {
	dirs, err := filepath.Glob(filepath.Join(uapiDir, uapiTemp+"*"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if fi, err := os.Lstat(d); err != nil || !fi.IsDir() || time.Since(fi.ModTime()) < halfMade {
			continue
		}
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

func removeLink(iface string) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	defer nl.Close()
	m := &linux{name: iface, nl: nl}
	found, err := m.find()
	switch {
	case err != nil || found.link == nil:
		return err
	case !found.ours:
		return fmt.Errorf("%w: a %s interface that cbnet did not make", ErrInUse, found.kind)
	}
	if err := nl.LinkDel(found.link); err != nil {
		return fmt.Errorf("remove interface: %w", err)
	}
	return nil
}
