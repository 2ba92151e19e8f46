package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
)

// Datapath says what moves the packets.
type Datapath string

const (
	Auto      Datapath = "auto"      // the kernel if it can, else userspace
	Kernel    Datapath = "kernel"    // the kernel's WireGuard
	Userspace Datapath = "userspace" // the embedded wireguard-go on a TUN device
)

// Options say which interface to open, and how.
type Options struct {
	Interface string       // its name, 1 to 15 characters
	Datapath  Datapath     // empty means Auto
	Log       *slog.Logger // nil discards

	// NoOffload makes the userspace datapath handle packets one by one, without
	// the segmentation offloads of UDP sockets and TUN devices. It is slower
	// and needs little memory. The kernel's datapath has no such switch.
	NoOffload bool
}

func (o Options) validate() error {
	var faults []error
	if err := checkName(o.Interface); err != nil {
		faults = append(faults, err)
	}
	switch o.Datapath {
	case Auto, Kernel, Userspace:
	default:
		faults = append(faults, fmt.Errorf("datapath %q is none of auto, kernel, userspace", o.Datapath))
	}
	return errors.Join(faults...)
}

// machine is the border to the operating system: everything that Set reads,
// and the one way to change something. It is not safe for concurrent use.
type machine interface {
	// read returns the present state; errGone if the interface does not exist.
	read() (actual, error)
	// networks returns what the host reaches other than by the interface.
	networks() ([]network, error)
	// peers returns the device's view of its peers.
	peers() ([]PeerStatus, error)
	// apply makes one change.
	apply(change) error
	datapath() Datapath
	// close removes the interface and frees everything. Idempotent.
	close() error
}

// errGone says that somebody removed the interface behind our back.
var errGone = errors.New("interface is gone")

// Device is a WireGuard interface with its addresses and routes.
type Device struct {
	name string
	log  *slog.Logger
	open func(context.Context) (machine, error) // makes or adopts the interface
	lock *lock
	// spare is nobody's public key: see peerChanges.
	spare Key

	mu     sync.Mutex // guards the fields below, and serialises calls to m
	m      machine
	prev   *Config // of the last successful Set; nil before
	noIPv6 bool    // warned already
	closed bool
}

// Open makes the interface, or adopts the one that a crash of an earlier
// process left, with its peers and their sessions. The interface stays down
// until the first Set. The error is [ErrInUse] if the name belongs to another
// process or was not made by this package, and [ErrNoKernel] if
// Options.Datapath is Kernel and the kernel has no WireGuard. Open needs
// CAP_NET_ADMIN.
func Open(ctx context.Context, o Options) (*Device, error) {
	if o.Datapath == "" {
		o.Datapath = Auto
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	private, err := GenerateKey()
	if err != nil {
		return nil, err
	}
	l, err := acquire(o.Interface)
	if err != nil {
		return nil, err
	}
	d := &Device{
		name:  o.Interface,
		log:   o.Log.With("component", "overlay", "interface", o.Interface),
		lock:  l,
		spare: private.Public(),
	}
	d.open = func(ctx context.Context) (machine, error) { return openMachine(ctx, o, d.log) }
	if d.m, err = d.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open interface %s: %w", o.Interface, err), l.release())
	}
	return d, nil
}

// Set makes the device match c. It reads the present state, and makes only the
// changes that are needed; an equal second Set makes none. All faults of c are
// reported before anything is touched, and a colliding route is a
// [*RouteError]. After any other error some of the changes may have been made;
// the next Set completes them. Where the host has IPv6 switched off, IPv6
// addresses and routes are left out with a warning.
//
// If somebody removed the interface, Set makes it anew.
func (d *Device) Set(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("config of %s: %w", d.name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("set %s: %w", d.name, net.ErrClosed)
	}
	now, err := d.readLocked(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", d.name, err)
	}
	d.warnIPv6Locked(c, now)
	changes := diff(c, d.prev, now, d.spare)
	if err := d.checkRoutesLocked(changes); err != nil {
		return fmt.Errorf("set %s: %w", d.name, err)
	}
	for _, ch := range changes {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("set %s: %w", d.name, err)
		}
		if err := d.m.apply(ch); err != nil {
			return fmt.Errorf("set %s: %w", d.name, err)
		}
		d.log.Debug("interface changed", "change", ch.String())
	}
	c.Peers = slices.Clone(c.Peers)
	d.prev = &c
	return nil
}

// readLocked reads the machine, after making a new interface if it vanished.
func (d *Device) readLocked(ctx context.Context) (actual, error) {
	a, err := d.m.read()
	if !errors.Is(err, errGone) {
		return a, err
	}
	d.log.Warn("interface vanished, making it anew")
	if err := d.m.close(); err != nil {
		d.log.Debug("close vanished interface", "err", err)
	}
	m, err := d.open(ctx)
	if err != nil {
		return actual{}, err
	}
	d.m, d.prev = m, nil
	return d.m.read()
}

// checkRoutesLocked refuses changes that would take the host's other networks
// away. Routes that are in place already are not checked again: a network that
// appears later must not keep peers from being updated.
func (d *Device) checkRoutesLocked(changes []change) error {
	adds := func(c change) bool { return c.op == opRouteAdd }
	if !slices.ContainsFunc(changes, adds) {
		return nil
	}
	others, err := d.m.networks()
	if err != nil {
		return fmt.Errorf("list networks: %w", err)
	}
	return collision(changes, others)
}

func (d *Device) warnIPv6Locked(c Config, a actual) {
	missing := !a.ipv6 && len(only4(c.Addresses)) < len(c.Addresses)
	if missing && !d.noIPv6 {
		d.log.Warn("host has IPv6 switched off, IPv6 overlay addresses are left out")
	}
	d.noIPv6 = missing
}

// Peers returns what the device knows of its peers, in no certain order.
func (d *Device) Peers() ([]PeerStatus, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("peers of %s: %w", d.name, net.ErrClosed)
	}
	ps, err := d.m.peers()
	if err != nil {
		return nil, fmt.Errorf("peers of %s: %w", d.name, err)
	}
	return ps, nil
}

// Datapath returns which datapath is in use: Kernel or Userspace.
func (d *Device) Datapath() Datapath {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.m.datapath()
}

// Close removes the interface, and with it its addresses and routes. Further
// calls do nothing.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if err := errors.Join(d.m.close(), d.lock.release()); err != nil {
		return fmt.Errorf("close %s: %w", d.name, err)
	}
	return nil
}
