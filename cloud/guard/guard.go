// Package guard stands between callers and a cloud driver: it repeats calls
// that may be repeated, paces them to what the cloud accepts, bounds their
// time, counts and times them, and notes them in the debug log. Drivers do none
// of this, so it is written once for all clouds.
//
// [New] wraps a driver as a driver. The optional capabilities of the driver are
// those of the result, guarded in the same way; [cloud.As] finds them.
//
// # Repeating
//
// A throttled call was not executed, and a call whose answer was lost may be
// made again because drivers look before they create; both are repeated with
// growing, jittered pauses, not sooner than the cloud asks for, if that is not
// more than five minutes. EnsureNetwork and CreateVM are also repeated for a while when something they have just made
// is not found yet. All else is returned at once.
//
// # Pacing
//
// Each kind of call in each region has a token bucket. Its rate is halved when
// the cloud throttles and grows back with every success, so that many callers
// together settle at what the cloud grants.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// Driver is what can be guarded: every driver has a catalogue.
type Driver interface {
	cloud.Driver
	cloud.Catalog
}

// Options tune a guard. Zero fields take their defaults.
type Options struct {
	// Account names the account in metrics and log. Buckets are never shared
	// between guards, so one account should have one guard.
	Account string
	// Tries is how often a call is made at most. Default 8.
	Tries int
	// Pause is the first pause between two tries; each is twice the one
	// before, up to MaxPause, less up to a half by chance. Defaults 200 ms, 10 s.
	Pause, MaxPause time.Duration
	// ReadTimeout bounds one try of a call that changes nothing, WriteTimeout
	// one of the others. Defaults 30 s, 2 min.
	ReadTimeout, WriteTimeout time.Duration
	// Rate is the most calls a second of each kind in each region, MinRate what
	// throttling can reduce it to. Defaults 20, 0.5.
	Rate, MinRate float64
	// Metrics count the calls; nil: none.
	Metrics *Metrics
	// Log gets each try at Debug; nil: none.
	Log *slog.Logger
}

// mostAfter is the longest pause that a cloud can ask for: an hour would be a
// fault of the cloud's, or of a proxy before it, and asking again costs one call.
const mostAfter = 5 * time.Minute

// lookups is how often an object that was not found is looked for.
const lookups = 5

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Pause, 200*time.Millisecond)
	def(&o.MaxPause, 10*time.Second)
	def(&o.ReadTimeout, 30*time.Second)
	def(&o.WriteTimeout, 2*time.Minute)
	if o.Tries <= 0 {
		o.Tries = 8
	}
	if o.Rate <= 0 {
		o.Rate = 20
	}
	if o.MinRate <= 0 {
		o.MinRate = 0.5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// New returns d, guarded.
func New(d Driver, opt Options) cloud.Driver {
	return &guarded{d: d, opt: opt.withDefaults(), buckets: map[bucketKey]*bucket{}}
}

// guarded is a guarded driver. It is safe for concurrent use.
type guarded struct {
	d   Driver
	opt Options

	mu      sync.Mutex // guards buckets
	buckets map[bucketKey]*bucket
}

// call says what is called.
type call struct {
	name   string // "CreateVM"
	kind   kind
	region string
	object string // name or id, for the log
}

// kind of a call: each has a bucket of its own.
type kind string

const (
	kindRead    kind = "read"
	kindCatalog kind = "catalog"
	kindNetwork kind = "network"
	kindCreate  kind = "create"
	kindDelete  kind = "delete"
	kindPower   kind = "power"
)

// do makes a call until it succeeds, fails for good or has been tried enough.
func (g *guarded) do(ctx context.Context, c call, try func(context.Context) error) error {
	b := g.bucket(c)
	for n := 1; ; n++ {
		if err := b.wait(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		err := g.once(ctx, c, n, try)
		b.heed(err)
		g.opt.Metrics.rate(g, c, b)
		if err == nil || ctx.Err() != nil || !again(c, n, err) {
			return err
		}
		if n >= g.opt.Tries {
			return fmt.Errorf("%w (tried %d times)", err, n)
		}
		pause := g.pause(n, err)
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}

// once makes one try.
func (g *guarded) once(ctx context.Context, c call, n int, try func(context.Context) error) error {
	timeout := g.opt.WriteTimeout
	if c.kind == kindRead || c.kind == kindCatalog {
		timeout = g.opt.ReadTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	err := try(ctx)
	took := time.Since(start)
	g.opt.Metrics.call(g, c, took, err)
	// Names and ids alone: a spec holds user-data, and that a token.
	g.opt.Log.Debug("cloud call", "provider", g.d.Provider(), "account", g.opt.Account, "region", c.region,
		"call", c.name, "object", c.object, "try", n, "took", took, "err", err)
	return err
}

// again reports whether a call whose n-th try ended with err may be repeated.
func again(c call, n int, err error) bool {
	if errors.Is(err, cloud.ErrNotFound) {
		return (c.kind == kindNetwork || c.kind == kindCreate) && n < lookups
	}
	return cloud.Retryable(err)
}

// pause returns the time until the next try.
func (g *guarded) pause(n int, err error) time.Duration {
	p := g.opt.MaxPause
	if n < 20 { // no overflow
		p = min(p, g.opt.Pause<<(n-1))
	}
	p -= rand.N(p/2 + 1)
	var e *cloud.APIError
	if errors.As(err, &e) {
		p = max(p, min(e.After, mostAfter))
	}
	return p
}

// Provider implements cloud.Driver.
func (g *guarded) Provider() string { return g.d.Provider() }

// Regions implements cloud.Driver.
func (g *guarded) Regions(ctx context.Context) (out []cloud.Region, err error) {
	err = g.do(ctx, call{"Regions", kindCatalog, "", ""}, func(ctx context.Context) (err error) {
		out, err = g.d.Regions(ctx)
		return err
	})
	return out, err
}

// EnsureNetwork implements cloud.Driver.
func (g *guarded) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (out cloud.Network, err error) {
	err = g.do(ctx, call{"EnsureNetwork", kindNetwork, spec.Region, spec.Name}, func(ctx context.Context) (err error) {
		out, err = g.d.EnsureNetwork(ctx, spec)
		if err == nil && (out.ID == "" || out.SubnetID == "" || out.SecurityGroup == "") {
			return fmt.Errorf("network %s: %w: the cloud did not say what it made", spec.Name, cloud.ErrUnavailable)
		}
		return err
	})
	return out, err
}

// CreateVM implements cloud.Driver.
func (g *guarded) CreateVM(ctx context.Context, spec cloud.VMSpec) (out cloud.VM, err error) {
	err = g.do(ctx, call{"CreateVM", kindCreate, spec.Region, spec.Name}, func(ctx context.Context) (err error) {
		out, err = g.d.CreateVM(ctx, spec)
		if err == nil && out.ID == "" {
			return fmt.Errorf("VM %s: %w: the cloud did not say what it made", spec.Name, cloud.ErrUnavailable)
		}
		return err
	})
	return out, err
}

// Delete implements cloud.Driver.
func (g *guarded) Delete(ctx context.Context, res cloud.Resource) error {
	return g.do(ctx, call{"Delete", kindDelete, res.Region, string(res.Kind) + " " + res.ID}, func(ctx context.Context) error {
		return g.d.Delete(ctx, res)
	})
}

// List implements cloud.Driver.
func (g *guarded) List(ctx context.Context, region string, owner cloud.Owner) (out []cloud.Resource, err error) {
	err = g.do(ctx, call{"List", kindRead, region, owner.MCIS}, func(ctx context.Context) (err error) {
		out, err = g.d.List(ctx, region, owner)
		return err
	})
	return out, err
}

// Specs implements cloud.Catalog.
func (g *guarded) Specs(ctx context.Context, region string) (out []cloud.Spec, err error) {
	err = g.do(ctx, call{"Specs", kindCatalog, region, ""}, func(ctx context.Context) (err error) {
		out, err = g.d.Specs(ctx, region)
		return err
	})
	return out, err
}

// Images implements cloud.Catalog.
func (g *guarded) Images(ctx context.Context, region string) (out []cloud.Image, err error) {
	err = g.do(ctx, call{"Images", kindCatalog, region, ""}, func(ctx context.Context) (err error) {
		out, err = g.d.Images(ctx, region)
		return err
	})
	return out, err
}
