package overlay

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// closeTimeout bounds the wait for wireguard-go's goroutines.
const closeTimeout = 5 * time.Second

// userspace is an embedded wireguard-go with its configuration socket.
type userspace struct {
	dev  *device.Device
	uapi *uapi
}

// openUserspace makes the TUN device name and starts wireguard-go on it, down.
func openUserspace(name string, noOffload bool, log *slog.Logger) (*userspace, error) {
	create := tun.CreateTUN
	if noOffload {
		create = createPlainTUN
	}
	t, err := create(name, DefaultMTU)
	if err != nil {
		if errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("%w: another process has a TUN device of this name", ErrInUse)
		}
		return nil, fmt.Errorf("TUN device: %w", err)
	}
	f := newInflight(maxInflight)
	u := &userspace{dev: device.NewDevice(newSteadyTUN(t, f), newBind(!noOffload, f), wgLogger(log))}
	if u.uapi, err = listenUAPI(name, u.dev.IpcHandle); err != nil {
		u.dev.Close()
		return nil, err
	}
	return u, nil
}

// up opens the UDP sockets. Repeating it does nothing.
func (u *userspace) up() error { return u.dev.Up() }

// close ends wireguard-go; the TUN device vanishes with it.
func (u *userspace) close() error {
	err := u.uapi.close()
	u.dev.Close()
	select {
	case <-u.dev.Wait():
	case <-time.After(closeTimeout):
		err = errors.Join(err, errors.New("wireguard-go does not end"))
	}
	return err
}

// steadyTUN hides a TUN device's link events from wireguard-go, which would
// close its sockets and drop sessions on each "down". Such events arrive late:
// those from before Set brought the link up would undo it. Set alone decides.
// It also says which received packets are done.
type steadyTUN struct {
	tun.Device
	events   chan tun.Event
	inflight *inflight
}

func newSteadyTUN(t tun.Device, f *inflight) *steadyTUN {
	s := &steadyTUN{Device: t, events: make(chan tun.Event, 1), inflight: f}
	go func() { // ends when Close of t closes its channel
		defer close(s.events)
		for e := range t.Events() {
			if e&tun.EventMTUUpdate != 0 {
				s.events <- tun.EventMTUUpdate
			}
		}
	}()
	return s
}

// Events implements tun.Device.
func (s *steadyTUN) Events() <-chan tun.Event { return s.events }

// Write implements tun.Device.
func (s *steadyTUN) Write(bufs [][]byte, offset int) (int, error) {
	defer s.inflight.done(len(bufs))
	return s.Device.Write(bufs, offset)
}

// createPlainTUN is tun.CreateTUN without IFF_VNET_HDR, which would switch on
// TCP and UDP segmentation offload and batches of 128.
func createPlainTUN(name string, mtu int) (tun.Device, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "/dev/net/tun")
	t, err := tun.CreateTUNFromFile(f, mtu)
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}
