package mcis

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/store/kv"
)

// Deps is what a [Service] works with.
type Deps struct {
	Store    Store
	Clouds   Clouds
	Enroller Enroller
	Members  Members
	Mesh     Mesh
	Daemon   Daemon
	Options  Options      // zero fields take their defaults
	Log      *slog.Logger // nil: none
}

// Store keeps records and journal. *store.Store is one. Errors are those of
// package kv. A transaction is done completely or not at all and is on disk
// when Txn returns nil; after any other error than ErrExists and ErrConflict it
// may or may not have been done.
type Store interface {
	Get(ctx context.Context, key string) (kv.Item, error)
	List(ctx context.Context, prefix string) ([]kv.Item, error)
	Txn(ctx context.Context, ops ...kv.Op) error
	Seal(plain []byte) ([]byte, error)
	Unseal(sealed []byte) ([]byte, error)
}

// Clouds finds the accounts that users added.
type Clouds interface {
	// Cloud returns an account by its name, or an error that wraps [ErrNoCloud].
	Cloud(ctx context.Context, name string) (Cloud, error)
	// Names lists the accounts, for the hint beside a wrong name.
	Names(ctx context.Context) ([]string, error)
}

// Cloud is an account.
type Cloud struct {
	Driver cloud.Driver
	Region string // of groups that name none; empty: the only one the account has
}

// Enroller admits the nodes to the mesh. All its methods may be repeated.
type Enroller interface {
	// Token returns the text of a one-time token for a node. An earlier token
	// and certificate of the same name lose their worth.
	Token(ctx context.Context, req NodeRequest) (Enrollment, error)
	// Extend restarts the validity of the node's present token: the step that
	// carries it is tried again.
	Extend(ctx context.Context, node string) error
	// Close ends the node's membership: its token is void and its certificates
	// are revoked. A node that does not exist is no error.
	Close(ctx context.Context, node string) error
}

// NodeRequest says what a node will be granted.
type NodeRequest struct {
	Node   string
	MCIS   string
	Slice  netip.Prefix // take the overlay address from here; zero: anywhere in the mesh's prefix
	Groups []string     // of the grant: the MCIS, and MCIS/GROUP
	Roles  []string     // "gateway", "relay"
	Routes []netip.Prefix
}

// Enrollment is a node's right to join.
type Enrollment struct {
	Token string     // text, "cb1...."
	IP    netip.Addr // overlay address the node will have; zero if not yet known
}

// Members sees the mesh.
type Members interface {
	// Joined reports whether the node's daemon is in the mesh now, and its
	// overlay address.
	Joined(node string) (netip.Addr, bool)
	// Changed receives after a change, coalesced; the service is its only reader.
	Changed() <-chan struct{}
}

// Mesh is the mesh that the nodes join.
type Mesh struct {
	UID  string // random, lower-case letters and digits: the owner mark of every resource
	CIDR netip.Prefix
}

// Daemon says what a machine fetches and runs when it boots.
type Daemon struct {
	URL       string // https://HOST:PORT/v1/download/cbnetd-linux-amd64
	SHA256    string // of that file, hex
	Interface string // default cbn0
	Port      int    // WireGuard, default 51820
}

// Options are the times and limits of a service.
type Options struct {
	// Deadline is how long a node may take for one phase (creating, joining)
	// before it is failed. Default 5 min.
	Deadline time.Duration
	// Tick is how often a region's machines are listed while something is
	// awaited; each wait is jittered by a quarter. Default 2 s.
	Tick time.Duration
	// Grace is how long lists must stay empty at the end of a delete when a
	// create's outcome was never known. Default 15 s.
	Grace time.Duration
	// Parallel is the number of create calls at a time in one region. Default 8.
	Parallel int
	// Replacements is how often onFailure: replace makes a node again in one
	// run. Default 2.
	Replacements int
}

// withDefaults fills the zero fields.
func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Deadline, 5*time.Minute)
	def(&o.Tick, 2*time.Second)
	def(&o.Grace, 15*time.Second)
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.Replacements <= 0 {
		o.Replacements = 2
	}
	return o
}
