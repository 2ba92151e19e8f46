package fabric

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// linuxGuest is a VM that runs: a process that is PID 1 of its namespaces.
type linuxGuest struct {
	cmd     *exec.Cmd
	process process
	life    *os.File // the guest dies when this end of the pipe closes
	tty     *terminal
	copied  sync.WaitGroup // the console's copying
	down    chan struct{}
	reboot  bool // valid after down
}

// boot implements host. The namespace and the link are new at each boot, as the
// memory of a machine is; only the disk is kept.
func (h *linuxHost) boot(ctx context.Context, b bootConfig) (guest, error) {
	h.mu.Lock()
	r := h.routers[b.Router]
	h.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("router %d: %w", b.Router, ErrNotFound)
	}
	if err := prepareDisk(h.disk(b.Index), b.VM); err != nil {
		return nil, err
	}
	name := h.netns(b.Index)
	if err := makeNetns(name); err != nil {
		return nil, err
	}
	if err := r.plug(name, b); err != nil {
		return nil, errors.Join(err, h.unplug(r, b.Index))
	}
	g, err := h.spawn(ctx, name, b)
	if err != nil {
		return nil, errors.Join(err, h.unplug(r, b.Index))
	}
	go h.attend(g, r, b.Index)
	return g, nil
}

// attend waits for the end of a guest and clears up after it.
func (h *linuxHost) attend(g *linuxGuest, r *router, vm int) {
	g.reboot = rebootStatus(g.cmd.Wait())
	err := errors.Join(g.release(), h.unplug(r, vm), h.recordProcess(g.process, false))
	if err != nil {
		h.log.Warn("machine left something behind", "netns", h.netns(vm), "err", err)
	}
	close(g.down)
}

// end kills a guest that never came to life.
func (g *linuxGuest) end() error {
	err := g.cmd.Process.Kill()
	_ = g.cmd.Wait() // killed: that is the result
	return errors.Join(err, g.release())
}

// release frees what the guest's process held on this side.
func (g *linuxGuest) release() error {
	err := errors.Join(g.life.Close(), g.tty.slave.Close())
	g.copied.Wait() // the last words
	return errors.Join(err, g.tty.master.Close())
}

// unplug removes the link and the namespace of a guest.
func (h *linuxHost) unplug(r *router, vm int) error {
	var errs []error
	if l, err := r.net.LinkByName(portName(vm)); err == nil {
		errs = append(errs, r.net.LinkDel(l))
	}
	return errors.Join(append(errs, removeNetns(h.netns(vm)))...)
}

func portName(vm int) string { return fmt.Sprintf("v%d", vm) }

// plug makes the link between a router and a guest and configures both ends.
func (r *router) plug(guestNetns string, b bootConfig) error {
	ns, err := netns.GetFromPath(netnsDir + "/" + guestNetns)
	if err != nil {
		return fmt.Errorf("guest namespace %s: %w", guestNetns, err)
	}
	defer ns.Close()
	pair := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: portName(b.Index), MTU: b.MTU},
		PeerName:         "eth0",
		PeerMTU:          uint32(b.MTU),
		PeerHardwareAddr: b.MAC,
		PeerNamespace:    netlink.NsFd(int(ns)),
	}
	if err := r.net.LinkAdd(pair); err != nil {
		return fmt.Errorf("make link to guest: %w", err)
	}
	port, err := r.net.LinkByName(pair.Name)
	if err != nil {
		return fmt.Errorf("find link to guest: %w", err)
	}
	// The gateway's address is on every port, the guest's is the other end.
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(b.Gateway, 32)), Peer: ipNet(netip.PrefixFrom(b.PrivateIP, 32))}
	if err := r.net.AddrAdd(port, addr); err != nil {
		return fmt.Errorf("address of link to guest: %w", err)
	}
	// Neighbours of one subnet ask for each other's addresses; the router
	// answers in their place, at once.
	sysctls := map[string]string{
		"net/ipv4/conf/" + pair.Name + "/proxy_arp":    "1",
		"net/ipv4/neigh/" + pair.Name + "/proxy_delay": "0",
	}
	if err := inNetns(r.netns, func() error { return writeSysctls(sysctls) }); err != nil {
		return err
	}
	if err := r.net.LinkSetUp(port); err != nil {
		return fmt.Errorf("link to guest up: %w", err)
	}
	return configureGuest(ns, b)
}

// configureGuest does for a guest what its cloud's DHCP would.
func configureGuest(ns netns.NsHandle, b bootConfig) error {
	n, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("guest namespace: %w", err)
	}
	defer n.Close()
	for _, name := range []string{"lo", "eth0"} {
		l, err := n.LinkByName(name)
		if err != nil {
			return fmt.Errorf("guest's link %s: %w", name, err)
		}
		if name == "eth0" {
			a := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(b.PrivateIP, b.Subnet.Bits()))}
			if err := n.AddrAdd(l, a); err != nil {
				return fmt.Errorf("guest's address: %w", err)
			}
		}
		if err := n.LinkSetUp(l); err != nil {
			return fmt.Errorf("guest's link %s up: %w", name, err)
		}
	}
	if err := n.RouteAdd(&netlink.Route{Gw: b.Gateway.AsSlice()}); err != nil {
		return fmt.Errorf("guest's default route: %w", err)
	}
	return nil
}

// exited implements guest.
func (g *linuxGuest) exited() <-chan struct{} { return g.down }

// wantsReboot implements guest.
func (g *linuxGuest) wantsReboot() bool { return g.reboot }

// shutdown implements guest.
func (g *linuxGuest) shutdown() { _ = g.cmd.Process.Signal(unix.SIGTERM) } // gone is as good

// kill implements guest.
func (g *linuxGuest) kill() { _ = g.cmd.Process.Kill() } // gone is as good

// rebootStatus tells a reboot from a power-off by how PID 1 ended: by its own
// exit status, or by the signal that the kernel sends for reboot(2) inside a PID
// namespace (SIGHUP to restart, SIGINT to halt; see reboot(2)).
func rebootStatus(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal() == unix.SIGHUP
	}
	return exit.ExitCode() == exitReboot
}
