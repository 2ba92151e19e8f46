package guard

import (
	"context"

	"github.com/cbnet-io/cbnet/cloud"
)

var (
	_ cloud.Capable = (*guarded)(nil)
	_ cloud.Catalog = (*guarded)(nil)
)

// Capability implements cloud.Capable.
func (g *guarded) Capability(want any) bool {
	switch w := want.(type) {
	case *cloud.Catalog:
		*w = g
		return true
	case *cloud.Console:
		return capable(g, w, func(c cloud.Console) cloud.Console { return guardedConsole{g, c} })
	case *cloud.Power:
		return capable(g, w, func(p cloud.Power) cloud.Power { return guardedPower{g, p} })
	case *cloud.Quoter:
		return capable(g, w, func(q cloud.Quoter) cloud.Quoter { return guardedQuoter{g, q} })
	case *cloud.NAT: // makes no call
		return capable(g, w, func(n cloud.NAT) cloud.NAT { return n })
	case *cloud.KeyTypes: // makes no call
		return capable(g, w, func(k cloud.KeyTypes) cloud.KeyTypes { return k })
	case *cloud.Pricer: // makes no call
		return capable(g, w, func(p cloud.Pricer) cloud.Pricer { return p })
	}
	return false
}

// capable sets *want to the driver's own capability, wrapped.
func capable[C any](g *guarded, want *C, wrap func(C) C) bool {
	c, ok := g.d.(C)
	if ok {
		*want = wrap(c)
	}
	return ok
}

// guardedConsole guards a console.
type guardedConsole struct {
	g *guarded
	c cloud.Console
}

// ConsoleOutput implements cloud.Console.
func (x guardedConsole) ConsoleOutput(ctx context.Context, region, id string) (out string, err error) {
	err = x.g.do(ctx, call{"ConsoleOutput", kindRead, region, id}, func(ctx context.Context) (err error) {
		out, err = x.c.ConsoleOutput(ctx, region, id)
		return err
	})
	return out, err
}

// guardedPower guards power switches.
type guardedPower struct {
	g *guarded
	p cloud.Power
}

// Start implements cloud.Power.
func (x guardedPower) Start(ctx context.Context, region, id string) error {
	return x.g.do(ctx, call{"Start", kindPower, region, id}, func(ctx context.Context) error { return x.p.Start(ctx, region, id) })
}

// Stop implements cloud.Power.
func (x guardedPower) Stop(ctx context.Context, region, id string) error {
	return x.g.do(ctx, call{"Stop", kindPower, region, id}, func(ctx context.Context) error { return x.p.Stop(ctx, region, id) })
}

// Reboot implements cloud.Power.
func (x guardedPower) Reboot(ctx context.Context, region, id string) error {
	return x.g.do(ctx, call{"Reboot", kindPower, region, id}, func(ctx context.Context) error { return x.p.Reboot(ctx, region, id) })
}

// guardedQuoter guards what tells quotas.
type guardedQuoter struct {
	g *guarded
	q cloud.Quoter
}

// Quotas implements cloud.Quoter.
func (x guardedQuoter) Quotas(ctx context.Context, region string) (out []cloud.Quota, err error) {
	err = x.g.do(ctx, call{"Quotas", kindCatalog, region, ""}, func(ctx context.Context) (err error) {
		out, err = x.q.Quotas(ctx, region)
		return err
	})
	return out, err
}
