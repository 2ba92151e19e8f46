package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/overlay"
)

// GossipPort is the port on every node's overlay address, UDP and TCP, where
// members gossip, exchange records and probe each other: inside the tunnel only.
const GossipPort = 7946

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

// Timing holds the intervals of a mesh. Zero fields are filled in by the
// defaults; tests shorten them.
type Timing struct {
	// Tick is how often the loop looks at its timers. Default 250 ms.
	Tick time.Duration
	// Echo is how often a reachable peer is probed. Default 3 s, and at least
	// 20 ms times the number of peers, so that probing never exceeds 50 packets/s.
	Echo time.Duration
	// EchoRetry is how often a silent peer is probed, and how long an echo may
	// take. Default 1 s. A peer is unreachable after three silent probes.
	EchoRetry time.Duration
	// Acknowledge is how long an introducer waits for members to program a
	// joiner, and how long a joiner leaves those alone who have not. Default 1 s.
	Acknowledge time.Duration
	// Trial is how long a candidate address of a silent peer is tried before the
	// next one. Default 1.5 s; it doubles after each full round, up to 16 times.
	Trial time.Duration
	// Rejoin is how often gossip is joined again with members it has lost, with
	// up to 100 % jitter; a sixth of that when there is nobody left. Default 15 s.
	Rejoin time.Duration
	// Save is how long changes to the endpoints of remembered peers are
	// collected. Default 2 s. Who is a member is saved at once.
	Save time.Duration
	// Introducers is how long remembered peers have to answer at a start before
	// introducers are called. Default 2 s.
	Introducers time.Duration
	// Gossip divides memberlist's intervals for local networks. Default 1.
	Gossip int
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.Tick, 250*time.Millisecond)
	def(&t.Echo, 3*time.Second)
	def(&t.EchoRetry, time.Second)
	def(&t.Acknowledge, time.Second)
	def(&t.Trial, 1500*time.Millisecond)
	def(&t.Rejoin, 15*time.Second)
	def(&t.Save, 2*time.Second)
	def(&t.Introducers, 2*time.Second)
	if t.Gossip < 1 {
		t.Gossip = 1
	}
	return t
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
		_, err := netip.ParseAddrPort(expandListen(c.Introduce))
		need(err == nil, "introduce", "want ADDR:PORT or :PORT")
	}
	for _, a := range c.Advertise {
		need(usableAddr(a), "advertise", fmt.Sprintf("%s is no address others can use", a))
	}
	return errors.Join(errs...)
}

// expandListen turns ":PORT" into an address that stands for all of the host's.
func expandListen(s string) string {
	if s != "" && s[0] == ':' {
		return "[::]" + s
	}
	return s
}

// usableAddr reports whether others may reach a host by the address.
func usableAddr(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() &&
		!a.IsLinkLocalUnicast() && a.Zone() == ""
}
