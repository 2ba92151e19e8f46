package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cbnet-io/cbnet/overlay"
)

// checkPlaces finds out, by reading alone, whether the state folder and the
// socket can be made where they are wanted, and whether the host has what the
// datapath needs.
func (n *Node) checkPlaces() error {
	var errs []error
	fault := func(flag string, err error) {
		if err != nil {
			errs = append(errs, &InputError{What: flag, Err: err})
		}
	}
	fault("--state", checkFolder(n.c.State))
	if len(errs) == 0 {
		if err := checkOurs(n.c.State); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
	}
	fault("--socket", checkFolder(filepath.Dir(n.c.Socket)))
	if fi, err := os.Lstat(n.c.Socket); err == nil && fi.Mode().Type() != fs.ModeSocket {
		fault("--socket", fmt.Errorf("%s is there and no socket: want another path", n.c.Socket))
	}
	if n.c.Datapath == overlay.Userspace {
		if _, err := os.Stat(tunDevice); errors.Is(err, fs.ErrNotExist) {
			fault("--datapath", fmt.Errorf("userspace needs %s, which this host does not have: load the module tun, or pass the device into the container", tunDevice))
		}
	}
	return errors.Join(errs...)
}

const tunDevice = "/dev/net/tun"

// checkFolder reports whether a path is a folder, or one can be made there.
func checkFolder(path string) error {
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		fi, err := os.Stat(p)
		switch {
		case err == nil && fi.IsDir(), errors.Is(err, fs.ErrPermission):
			return nil // whether it may be written in, the attempt tells
		case err == nil:
			return fmt.Errorf("%s: %s is a file: want a folder", path, p)
		case p == filepath.Dir(p):
			return nil
		}
	}
}
