package mcistest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/cbnet-io/cbnet/cloud"
)

// Traits are what one cloud has and another has not. The zero value is a cloud
// with the regions east-1, west-1 and RegionOne whose machines carry SSH keys
// themselves.
type Traits struct {
	Regions []string
	NAT     string        // its name; empty: there is none
	Pairs   bool          // SSH keys are objects
	NoKeys  bool          // it passes SSH keys over
	Keys    []string      // types of SSH keys that it takes; nil: any
	Groups  bool          // what a network has lies in a group
	Quotas  []cloud.Quota // nil: it tells none
}

// Be changes the traits while calls run.
func (c *Cloud) Be(t Traits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Traits = t
}

func (c *Cloud) traits() Traits {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Traits
}

var (
	_ cloud.Driver  = (*Cloud)(nil)
	_ cloud.Catalog = (*Cloud)(nil)
	_ cloud.Console = (*Cloud)(nil)
	_ cloud.Pricer  = (*Cloud)(nil)
	_ cloud.Capable = (*Cloud)(nil)
)

// Capability implements cloud.Capable.
func (c *Cloud) Capability(want any) bool {
	switch w := want.(type) {
	case *cloud.Catalog:
		*w = c
		return true
	case *cloud.Console:
		*w = c
		return true
	case *cloud.Pricer:
		*w = c
		return true
	case *cloud.NAT:
		*w = nat(c.traits().NAT)
		return c.traits().NAT != ""
	case *cloud.KeyTypes:
		*w = keyTypes(c.traits().Keys)
		return c.traits().Keys != nil
	case *cloud.Quoter:
		*w = quoter{c}
		return c.traits().Quotas != nil
	}
	return false
}

// nat is the name of a NAT.
type nat string

// NAT implements cloud.NAT.
func (n nat) NAT() string { return string(n) }

// keyTypes are types of SSH keys.
type keyTypes []string

// SSHKeyTypes implements cloud.KeyTypes.
func (k keyTypes) SSHKeyTypes() []string { return k }

type quoter struct{ c *Cloud }

// Quotas implements cloud.Quoter.
func (q quoter) Quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	return q.c.traits().Quotas, q.c.reads(ctx, region)
}

// Regions implements cloud.Driver.
func (c *Cloud) Regions(ctx context.Context) ([]cloud.Region, error) {
	if err := c.reads(ctx, ""); err != nil {
		return nil, err
	}
	names := c.traits().Regions
	if names == nil {
		return []cloud.Region{{Name: "east-1", Zones: []string{"east-1a", "east-1b"}}, {Name: "west-1"}, {Name: "RegionOne"}}, nil
	}
	out := make([]cloud.Region, len(names))
	for i, name := range names {
		out[i].Name = name
	}
	return out, nil
}

// Specs implements cloud.Catalog.
func (c *Cloud) Specs(ctx context.Context, region string) ([]cloud.Spec, error) {
	return []cloud.Spec{
		{Name: "tiny", VCPU: 1, MemoryMiB: 512}, {Name: "small", VCPU: 1, MemoryMiB: 2048}, {Name: "medium", VCPU: 2, MemoryMiB: 4096},
	}, c.reads(ctx, region)
}

// Images implements cloud.Catalog.
func (c *Cloud) Images(ctx context.Context, region string) ([]cloud.Image, error) {
	return []cloud.Image{{ID: "img-" + region, Name: "debian-12-amd64", Alias: "debian-12"}}, c.reads(ctx, region)
}

// PricePerHour implements cloud.Pricer.
func (c *Cloud) PricePerHour(_, spec string) (float64, bool) {
	v, ok := map[string]float64{"tiny": 0.005, "small": 0.01, "medium": 0.02}[spec]
	return v, ok
}

// ConsoleOutput implements cloud.Console.
func (c *Cloud) ConsoleOutput(ctx context.Context, _, id string) (string, error) {
	if err := c.enter(ctx, "console"); err != nil {
		return "", err
	}
	return "boot\ncbnet: " + id + " cannot reach the server\n", nil
}

// reads decides whether a call of the catalogue gets through.
func (c *Cloud) reads(ctx context.Context, region string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	refused := c.Faults.Refused
	c.mu.Unlock()
	if refused {
		return c.refused("Describe")
	}
	return c.broken(region)
}

// broken returns what the calls for a region fail with.
func (c *Cloud) broken(region string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Faults.Broken[region]
}

// refused is the answer to wrong credentials, with a driver's words before it.
func (c *Cloud) refused(op string) error {
	return fmt.Errorf("%s in its region: %w", op, &cloud.APIError{
		Provider: "fake", Op: op, Status: http.StatusUnauthorized, Code: "AuthFailure",
		Message: "the credentials could not be validated", RequestID: "req-1", Class: cloud.ErrAuth,
	})
}
