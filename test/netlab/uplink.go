package netlab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// upName is the name of a router's interface to the internet.
const upName = "up"

// uplink is the TUN device by which a site's router sees the internet.
type uplink struct {
	index int // in Internet.sites
	tun   *os.File
}

// openUplink makes the device in the router's namespace. It vanishes when the
// file is closed.
func openUplink(s *Site) (*uplink, error) {
	u := &uplink{}
	err := s.ns.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open TUN: %w", err)
		}
		req, err := unix.NewIfreq(upName)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd)
			return fmt.Errorf("make TUN: %w", err)
		}
		u.tun = os.NewFile(uintptr(fd), "/dev/net/tun") // after TUNSETIFF, or it is not pollable
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// write hands a packet to the site's router. What the kernel refuses (a device
// that is down, a malformed packet) is lost, as on a wire.
func (u *uplink) write(packet []byte) {
	_, _ = u.tun.Write(packet)
}
