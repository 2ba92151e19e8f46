package server

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/mcis"
	"github.com/cbnet-io/cbnet/node/remote"
	"github.com/cbnet-io/cbnet/server/pki"
)

// Deps is what a Server works with.
type Deps struct {
	PKI      *pki.Service
	Admin    *pki.Admin
	Clouds   *Clouds
	MCIS     MCIS
	Members  *Members
	Remote   Remote
	Download *Download
	Log      *slog.Logger // nil: silent
}

// Planner turns files into plans. *mcis.Service is one.
type Planner interface {
	Parse(ctx context.Context, file string, data []byte) ([]mcis.Spec, error)
	Plan(ctx context.Context, spec mcis.Spec) (mcis.Plan, error)
}

// MCIS applies, shows and deletes. *mcis.Service is one.
type MCIS interface {
	Planner
	Apply(ctx context.Context, spec mcis.Spec) (mcis.Status, error)
	Delete(ctx context.Context, name string) (found bool, err error)
	Status(ctx context.Context, name string) (mcis.Status, error)
	List(ctx context.Context) ([]mcis.Status, error)
	Watch(ctx context.Context, name string) <-chan mcis.Event
	Owners(ctx context.Context) (mcis.Owners, error)
}

// Remote calls the API of nodes. *remote.Client is one.
type Remote interface {
	Exec(ctx context.Context, t remote.Target, cmd remote.Command) (int, error)
	Version(ctx context.Context, t remote.Target) (remote.Version, error)
}

// Node is the server's own node in the mesh.
type Node interface {
	Peers() []Peer
	// Changed receives after peers or their states changed; coalesced. Members
	// is its only reader.
	Changed() <-chan struct{}
	// Revoke puts a signed revocation list in force and spreads it.
	Revoke(ctx context.Context, signed []byte) error
}

// Peer is another node as the server's node sees it.
type Peer struct {
	Name string
	IP   netip.Addr // overlay
	Up   bool
}

// Limits and times of the API.
const (
	// maxBody is the size in bytes of a request: the largest is a spec file.
	maxBody = 2 << 20
	// maxOpenBody is the size in bytes of a request without a token.
	maxOpenBody = 32 << 10
	// bodyTimeout is how long a client may take to send a request.
	bodyTimeout = 30 * time.Second
	// headerTimeout is how long a client may take to send the header.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection may stay open between requests.
	idleTimeout = 2 * time.Minute
	// writeTimeout is how long an answer may take, and one event of a stream to
	// be taken by the client.
	writeTimeout = 5 * time.Minute
	// streamTimeout is how long a client may take to accept one event.
	streamTimeout = 10 * time.Second
	// keepAlive is the pause after which a silent stream sends a comment, so
	// that both sides notice a dead connection.
	keepAlive = 15 * time.Second
	// shutdownTimeout is how long requests may go on when the server stops.
	shutdownTimeout = 5 * time.Second
	// execParallel is on how many nodes one exec runs at the same time.
	execParallel = 32
	// cloudTimeout is how long an account may be looked at. Clients wait for the
	// first byte of an answer for two minutes.
	cloudTimeout = 100 * time.Second
	// sweepGrace is the least age of what is swept, unless the request says
	// another.
	sweepGrace = time.Minute
	// versionTimeout is how long a node may take to tell its version.
	versionTimeout = 3 * time.Second
)
