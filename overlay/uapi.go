package overlay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// uapiDir is where wgctrl and the wg tool look for userspace devices.
const uapiDir = "/var/run/wireguard"

// uapiTemp begins the names of the directories in which sockets are made.
const uapiTemp = ".cbnet-"

func uapiPath(name string) string { return filepath.Join(uapiDir, name+".sock") }

// uapi serves WireGuard's configuration protocol on a unix socket that only
// root may open. It stands in for wireguard-go's own listener, which changes
// the umask of the whole process while it binds, takes every event on the
// socket file for its end, and can leave a goroutine behind.
type uapi struct {
	path     string
	listener *net.UnixListener
	handle   func(net.Conn)
	wg       sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]bool
	done  bool
}

// listenUAPI starts serving. handle answers one connection until it ends, and
// closes it. A socket that a crash left is replaced; one that answers is
// ErrInUse.
func listenUAPI(name string, handle func(net.Conn)) (*uapi, error) {
	if err := os.MkdirAll(uapiDir, 0o755); err != nil {
		return nil, fmt.Errorf("directory of UAPI sockets: %w", err)
	}
	// Bound in a private directory, so that nobody can connect before the mode
	// is right, and then linked to its place: link refuses to replace.
	tmp, err := os.MkdirTemp(uapiDir, uapiTemp)
	if err != nil {
		return nil, fmt.Errorf("UAPI socket: %w", err)
	}
	defer os.RemoveAll(tmp)
	hidden := filepath.Join(tmp, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("UAPI socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	u := &uapi{path: uapiPath(name), listener: l, handle: handle, conns: make(map[net.Conn]bool)}
	if err := errors.Join(os.Chmod(hidden, 0o600), u.publish(hidden)); err != nil {
		l.Close()
		return nil, err
	}
	u.wg.Go(u.serve)
	return u, nil
}

func (u *uapi) publish(hidden string) error {
	err := os.Link(hidden, u.path)
	if errors.Is(err, os.ErrExist) {
		if err := removeStale(u.path); err != nil {
			return err
		}
		err = os.Link(hidden, u.path)
	}
	if err != nil {
		return fmt.Errorf("UAPI socket: %w", err)
	}
	return nil
}

// removeStale removes a socket that nobody listens on. It is no error if there
// is none, and ErrInUse if somebody listens.
func removeStale(path string) error {
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return fmt.Errorf("%w: a process answers at %s", ErrInUse, path)
	case errors.Is(err, os.ErrNotExist):
		return nil
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("UAPI socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stale UAPI socket: %w", err)
	}
	return nil
}

func (u *uapi) serve() {
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return // closed: Accept retries what is temporary
		}
		if !u.add(c) {
			c.Close()
			return
		}
		u.wg.Go(func() {
			defer u.drop(c)
			u.handle(c)
		})
	}
}

func (u *uapi) add(c net.Conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conns[c] = true
	return !u.done
}

func (u *uapi) drop(c net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, c)
}

// close ends all connections, removes the socket and waits for the goroutines.
func (u *uapi) close() error {
	err := errors.Join(u.listener.Close(), os.Remove(u.path))
	u.mu.Lock()
	u.done = true
	for c := range u.conns {
		c.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
	return err
}
