package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/mesh/protocol"
	"github.com/cbnet-io/cbnet/overlay"
)

// Device is one node's data plane. [overlay.Device] is one.
type Device interface {
	// Set applies the whole wanted state; equal states change nothing.
	Set(context.Context, overlay.Config) error
	// Peers returns what the device knows of its peers now.
	Peers() ([]overlay.PeerStatus, error)
}

// Net is the network a mesh runs on. The default is the host's.
type Net interface {
	// Listen accepts TCP connections on ADDR:PORT.
	Listen(ctx context.Context, addr string) (net.Listener, error)
	// ListenPacket opens a UDP socket on ADDR:PORT; addresses are *net.UDPAddr.
	ListenPacket(ctx context.Context, addr string) (net.PacketConn, error)
	// Dial opens a TCP connection to HOST:PORT, from the given local address
	// unless it is the zero value.
	Dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error)
	// Addresses returns the host's own addresses with their prefixes, save
	// those of the named interface, of loopback and link-local ones.
	Addresses(except string) ([]netip.Prefix, error)
}

// Config is what a mesh is made of. Bundle, Device, StateDir, PrivateKey and
// Port are needed, the rest may be left zero.
type Config struct {
	Bundle     *identity.Bundle // certificate, key and introducers
	Roots      *identity.Roots  // whom to trust; nil means the bundle's
	Device     Device
	StateDir   string      // exists, mode 0700, ours alone
	PrivateKey overlay.Key // WireGuard's; the same after a restart, so that peers still know it
	Port       int         // WireGuard's UDP port
	MTU        int         // of the interface in bytes; 0 means the device's default
	Interface  string      // name of the overlay interface: its addresses are no endpoints

	Introduce string       // ADDR:PORT to introduce others on; empty means not to
	Advertise []netip.Addr // public addresses where WireGuard and the introducer are reached
	// AdvertiseObserved says that the address at which an introducer sees this
	// node leads back to it, port by port, as a public address of a cloud does:
	// it counts as public then, and not as that of a NAT.
	AdvertiseObserved bool
	Repeats           bool   // Device repeats a handshake that is not answered
	Network           string // id of the private network this node is in: provider/region/network

	// Before is this node's mesh until now, when it goes on with another
	// certificate: it has ended with [ErrReplaced], and its peers are taken over
	// from it and not from the disk, which may be full.
	Before *Mesh

	Log        *slog.Logger          // nil means none
	Registerer prometheus.Registerer // nil means no metrics
	Net        Net                   // nil means the host's
	Timing     Timing                // zero fields mean the defaults
}

// validate returns all faults, joined.
func (c Config) validate() error {
	var errs []error
	need := func(ok bool, field, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("mesh: %s: %s", field, want))
		}
	}
	need(c.Bundle != nil && c.Bundle.Certificate != nil, "bundle", "is missing")
	need(c.Device != nil, "device", "is missing")
	need(c.StateDir != "", "state", "want a directory")
	need(!c.PrivateKey.IsZero(), "private key", "is missing")
	need(c.Port > 0 && c.Port < 1<<16, "port", "want 1 to 65535")
	need(c.MTU == 0 || c.MTU >= 1280 && c.MTU < 1<<16, "mtu", "want 1280 to 65535, or 0 for the default")
	if c.Introduce != "" {
		_, err := netip.ParseAddrPort(protocol.ExpandListen(c.Introduce))
		need(err == nil, "introduce", "want ADDR:PORT or :PORT")
	}
	for _, a := range c.Advertise {
		need(protocol.UsableAddr(a), "advertise", fmt.Sprintf("%s is no address others can use", a))
	}
	return errors.Join(errs...)
}
