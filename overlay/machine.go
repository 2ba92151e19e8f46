package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

const (
	// alias marks an interface as made by this package (IFLA_IFALIAS).
	alias = "cbnet"

	// markGroup marks one, too (IFLA_GROUP), and does so in the very call that
	// makes it: the alias comes a call later, and a crash may come between.
	// Group numbers have no meaning to the kernel.
	markGroup = 0xcb6e

	// routeProtocol marks a route as made by this package. The kernel gives
	// numbers above RTPROT_STATIC (4) no meaning; iproute2's rt_protos has this
	// one free.
	routeProtocol = netlink.RouteProtocol(66)
)

// linux is the machine: netlink for the interface, wgctrl for its WireGuard
// side, whichever datapath that has. Both sockets stay in the network namespace
// of the thread that opened them.
type linux struct {
	name   string
	log    *slog.Logger
	nl     *netlink.Handle
	wg     *wgctrl.Client
	user   *userspace // nil on the kernel's datapath
	closed bool
}

var _ machine = (*linux)(nil)

// openMachine makes or adopts the interface.
func openMachine(ctx context.Context, o Options, log *slog.Logger) (_ machine, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	m := &linux{name: o.Interface, log: log, nl: nl}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if err := m.openLink(o); err != nil {
		return nil, err
	}
	// After the link: wgctrl looks once whether the kernel has WireGuard, and
	// making the link may have loaded its module.
	if m.wg, err = wgctrl.New(); err != nil {
		return nil, fmt.Errorf("wgctrl: %w", err)
	}
	return m, nil
}

// openLink makes the interface, or keeps one that a crash left.
func (m *linux) openLink(o Options) error {
	found, err := m.find()
	if err != nil {
		return err
	}
	switch adoption(found, o.Datapath) {
	case refuse:
		return fmt.Errorf("%w: a %s interface that cbnet did not make; choose another name, or remove it with `ip link del %s`",
			ErrInUse, found.kind, m.name)
	case adopt:
		m.log.Info("interface adopted", "datapath", Kernel)
		return nil
	case replace:
		if err := m.nl.LinkDel(found.link); err != nil {
			return fmt.Errorf("remove old interface: %w", err)
		}
	}
	if o.Datapath != Userspace {
		err := m.addKernelLink()
		if err == nil || o.Datapath == Kernel || !errors.Is(err, ErrNoKernel) {
			return err
		}
	}
	if m.user, err = openUserspace(m.name, o.NoOffload, m.log); err != nil {
		return err
	}
	m.log.Info("interface made", "datapath", Userspace)
	return m.setAlias()
}

// addKernelLink makes a WireGuard interface; ErrNoKernel if the kernel knows
// no such kind. No separate probe is needed: the attempt loads the module.
func (m *linux) addKernelLink() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Group = m.name, DefaultMTU, markGroup
	err := m.nl.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: load the module with `modprobe wireguard`, or use the userspace datapath", ErrNoKernel)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("making an interface needs CAP_NET_ADMIN: %w", err)
	case err != nil:
		return fmt.Errorf("make WireGuard interface: %w", err)
	}
	m.log.Info("interface made", "datapath", Kernel)
	if err := m.setAlias(); err != nil {
		return errors.Join(err, m.removeLink())
	}
	return nil
}

// removeLink removes the interface, if it is there.
func (m *linux) removeLink() error {
	link, err := m.link()
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.nl.LinkDel(link)
}

func (m *linux) setAlias() error {
	link, err := m.link()
	if err != nil {
		return err
	}
	if err := m.nl.LinkSetAlias(link, alias); err != nil {
		return fmt.Errorf("mark interface: %w", err)
	}
	return nil
}

// link looks the interface up anew each time: its index changes when somebody
// makes it again.
func (m *linux) link() (netlink.Link, error) {
	link, err := m.nl.LinkByName(m.name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("look up interface: %w", err)
	}
	return link, nil
}

// peers implements machine.
func (m *linux) peers() ([]PeerStatus, error) {
	dev, err := m.device()
	if err != nil {
		return nil, err
	}
	out := make([]PeerStatus, len(dev.Peers))
	for i, p := range dev.Peers {
		out[i] = PeerStatus{
			PublicKey:     Key(p.PublicKey),
			Endpoint:      endpointOf(p),
			LastHandshake: handshakeOf(p),
			RxBytes:       p.ReceiveBytes,
			TxBytes:       p.TransmitBytes,
			AllowedIPs:    prefixesOf(p.AllowedIPs),
		}
	}
	return out, nil
}

func (m *linux) device() (*wgtypes.Device, error) {
	dev, err := m.wg.Device(m.name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("WireGuard state: %w", err)
	}
	return dev, nil
}

// datapath implements machine.
func (m *linux) datapath() Datapath {
	if m.user != nil {
		return Userspace
	}
	return Kernel
}

// close implements machine.
func (m *linux) close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	var errs []error
	if m.user != nil {
		errs = append(errs, m.user.close())
	} else if m.wg != nil { // our link, complete
		errs = append(errs, m.removeLink())
	}
	if m.wg != nil {
		errs = append(errs, m.wg.Close())
	}
	m.nl.Close()
	return errors.Join(errs...)
}

func endpointOf(p wgtypes.Peer) netip.AddrPort {
	if p.Endpoint == nil {
		return netip.AddrPort{}
	}
	return unmap(p.Endpoint.AddrPort())
}

// handshakeOf gives the zero time for "never", which devices report as 1970.
func handshakeOf(p wgtypes.Peer) time.Time {
	if p.LastHandshakeTime.Unix() <= 0 {
		return time.Time{}
	}
	return p.LastHandshakeTime
}
