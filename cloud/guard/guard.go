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
// more than five minutes. After a throttle the pause does not grow: the bucket
// of what was throttled keeps the next request back. EnsureNetwork and CreateVM
// are also repeated for a while when something they have just made is not found
// yet. All else is returned at once.
//
// # Pacing
//
// The driver's requests go through [Transport]: each kind of call in each region
// has a token bucket there. Its rate is halved when the cloud throttles and
// grows back with every success, so that many callers together settle at what
// the cloud grants.
//
// # Secrets
//
// Neither the log nor the text of an error has a URL's query, a password in a
// URL or long base64 in it: there are user-data, keys and signatures.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	// Account names the account in metrics and log.
	Account string
	// Tries is how often a call is made at most. Default 8.
	Tries int
	// Pause is the first pause between two tries; each is twice the one
	// before, up to MaxPause, less up to a half by chance. Defaults 200 ms, 10 s.
	Pause, MaxPause time.Duration
	// ReadTimeout bounds one try of a call that changes nothing, WriteTimeout
	// one of the others. Defaults 30 s, 2 min.
	ReadTimeout, WriteTimeout time.Duration
	// Rate is the most requests a second of each kind in each region, MinRate
	// what throttling can reduce it to. Defaults 50, 0.5.
	Rate, MinRate float64
	// Metrics count the calls; nil: none.
	Metrics *Metrics
	// Log gets each try and each request at Debug; nil: none.
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
		o.Rate = 50
	}
	if o.MinRate <= 0 {
		o.MinRate = 0.5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// New returns d, guarded. Its requests are paced if d makes them through a
// [Transport].
func New(d Driver, opt Options) cloud.Driver {
	return &guarded{d: d, opt: opt.withDefaults()}
}

// guarded is a guarded driver. It is safe for concurrent use.
type guarded struct {
	d   Driver
	opt Options
}

// call says what is called.
type call struct {
	name   string // "CreateVM"
	kind   kind
	region string
	object string // name or id, for the log
}

// kind of a call: it decides how long a try may take and what is worth another.
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
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w: %w", c.name, cloud.ErrThrottled, err) // nothing was sent
		}
		err, slowed := g.once(ctx, c, n, try)
		if err == nil || ctx.Err() != nil || !again(c, n, err) {
			return err
		}
		if n >= g.opt.Tries {
			return fmt.Errorf("%w (tried %d times)", err, n)
		}
		pause := g.pause(n, err)
		if slowed {
			pause = g.pause(1, err) // its bucket keeps the next one back for as long as it must
		}
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

// once makes one try, and reports whether its kind of request was slowed down
// because the cloud throttled it.
func (g *guarded) once(ctx context.Context, c call, n int, try func(context.Context) error) (err error, slowed bool) {
	timeout := g.opt.WriteTimeout
	if c.kind == kindRead || c.kind == kindCatalog {
		timeout = g.opt.ReadTimeout
	}
	tryCtx, s := g.begin(ctx, c, timeout)
	start := time.Now()
	err = clean(s.done(tryCtx, try(tryCtx)))
	took := time.Since(start)
	slowed = s.heed(err)
	g.opt.Metrics.call(g, c, took, err)
	// Names and ids alone: a spec holds user-data, and that a token.
	g.opt.Log.Debug("cloud call", "provider", g.d.Provider(), "account", g.opt.Account, "region", c.region,
		"call", c.name, "object", c.object, "try", n, "took", took, "err", err)
	return err, slowed
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
