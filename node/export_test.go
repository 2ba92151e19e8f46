package node

import (
	"context"
	"io"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/mesh"
	"github.com/cbnet-io/cbnet/overlay"
)

// Fabric and Device are what tests put in the place of mesh and overlay.
type (
	Fabric = fabric
	Device = device
)

// Fakes replace what needs root.
type Fakes struct {
	Fabric    Fabric
	Device    Device
	Config    func(mesh.Config) // sees what the mesh would be made of
	Privilege error
	Stdin     io.Reader
}

// Use makes a node run on fakes.
func (n *Node) Use(f Fakes) {
	n.privilege = func() error { return f.Privilege }
	n.openDevice = func(context.Context, overlay.Options) (device, error) { return f.Device, nil }
	n.newMesh = func(c mesh.Config) (fabric, error) {
		if f.Config != nil {
			f.Config(c)
		}
		return f.Fabric, nil
	}
	if f.Stdin != nil {
		n.stdin = f.Stdin
	}
}

// Inner parts that are tested by themselves.
var (
	NextWarning  = nextWarning
	NoAnswer     = noAnswer
	EchoRequest  = echoRequest
	IsReply      = isReply
	Checksum     = checksum
	WireGuardKey = wireGuardKey
	ListenInside = listenOverlay
)

// Echo measures one round trip.
func Echo(ctx context.Context, from, to netip.Addr, wait time.Duration) (time.Duration, string, error) {
	return echo(ctx, from, to, wait)
}

// TCPEcho measures one round trip without ICMP.
func TCPEcho(ctx context.Context, from netip.Addr, to netip.AddrPort) (time.Duration, error) {
	return tcpEcho(ctx, from, to)
}

// MaxConnsFrom is for tests.
const MaxConnsFrom = maxConnsFrom
