package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
	"github.com/cbnet-io/cbnet/mcis"
)

// Check is how well an account works.
type Check struct {
	Region       string // that was looked at; empty: none
	Regions      []string
	Capabilities []string // optional ones, as "console", "nat: Cloud NAT"
	Quotas       []cloud.Quota
	Findings     []Finding // in the order of the work
}

// Finding is one thing that was tried.
type Finding struct {
	Name   string // "credentials", "machine types", ...
	Region string
	Detail string // what was seen
	Err    error  // what is wrong: a *mcis.CloudError, or one that wraps ErrRegion
}

// OK reports whether nothing was found wrong.
func (c Check) OK() bool {
	return !slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Err != nil })
}

// Check tries what a plan and an apply need of the account that changes nothing:
// its credentials, and in one region, "" for the default one, the catalogue,
// lists and quotas. The error wraps ErrRegion: wish is no region of the account.
func (a Account) Check(ctx context.Context, wish string) (Check, error) {
	c := Check{Capabilities: capabilities(a.Driver)}
	regions, err := a.Regions(ctx)
	if err != nil {
		c.Findings = []Finding{{Name: "credentials", Err: err}}
		return c, nil
	}
	for _, r := range regions {
		c.Regions = append(c.Regions, r.Name)
	}
	c.Findings = []Finding{{Name: "credentials", Detail: fmt.Sprintf("accepted; %d regions", len(regions))}}
	name, err := a.Choose(wish, regions)
	switch {
	case err == nil:
		c.Region = name
		a.checkRegion(ctx, &c)
	case wish != "":
		return c, err
	case a.Region == "" && len(regions) > 0:
		c.Findings = append(c.Findings, Finding{Name: "region", Detail: "no default one; name one by --region to have it checked"})
	default:
		c.Findings = append(c.Findings, Finding{Name: "region", Region: a.Region, Err: err})
	}
	return c, nil
}

// checkRegion tries what a region offers, all at the same time.
func (a Account) checkRegion(ctx context.Context, c *Check) {
	trials := []struct {
		name string
		try  func(ctx context.Context) (string, error)
	}{
		{"machine types", a.trySpecs(c.Region)},
		{"images", a.tryImages(c.Region)},
		{"inventory", a.tryList(c.Region)},
		{"quotas", a.tryQuotas(c)},
	}
	found := make([]Finding, len(trials))
	var g errgroup.Group
	for i, t := range trials {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			found[i] = Finding{Name: t.name, Region: c.Region}
			detail, err := t.try(ctx)
			if found[i].Detail = detail; err != nil {
				found[i].Err = a.fault(c.Region, t.name, err)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in found
	c.Findings = append(c.Findings, found...)
}

func (a Account) trySpecs(region string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		x, ok := cloud.As[cloud.Catalog](a.Driver)
		if !ok {
			return "the driver tells none", nil
		}
		list, err := x.Specs(ctx, region)
		if err == nil && len(list) == 0 {
			err = errors.New("there are none")
		}
		return fmt.Sprint(len(list)), err
	}
}

func (a Account) tryImages(region string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		x, ok := cloud.As[cloud.Catalog](a.Driver)
		if !ok {
			return "the driver tells none", nil
		}
		list, err := x.Images(ctx, region)
		if err != nil {
			return "", err
		}
		var aliases []string
		for _, m := range list {
			if m.Alias != "" {
				aliases = append(aliases, m.Alias)
			}
		}
		slices.Sort(aliases)
		aliases = slices.Compact(aliases)
		text := fmt.Sprint(len(list))
		if len(aliases) > 0 {
			text += ", with " + strings.Join(aliases, ", ")
		}
		if !slices.Contains(aliases, mcis.DefaultImage) {
			text += fmt.Sprintf("; not %s, so groups have to name one", mcis.DefaultImage)
		}
		return text, nil
	}
}

func (a Account) tryList(region string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		list, err := a.Driver.List(ctx, region, cloud.Owner{Mesh: a.Mesh})
		return fmt.Sprintf("%d objects of this mesh", len(list)), err
	}
}

func (a Account) tryQuotas(c *Check) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		x, ok := cloud.As[cloud.Quoter](a.Driver)
		if !ok {
			return "the cloud tells none", nil
		}
		var err error
		if c.Quotas, err = x.Quotas(ctx, c.Region); err != nil {
			return "", err
		}
		for _, q := range c.Quotas {
			if q.Limit >= 0 && q.Used >= q.Limit {
				return fmt.Sprintf("%s is used up: %d of %d", q.Name, q.Used, q.Limit), nil
			}
		}
		return fmt.Sprintf("%d told", len(c.Quotas)), nil
	}
}

// capabilities names what a driver can do beside what all can.
func capabilities(d cloud.Driver) []string {
	out := []string{}
	if _, ok := cloud.As[cloud.Console](d); ok {
		out = append(out, "console")
	}
	if nat, ok := cloud.As[cloud.NAT](d); ok {
		out = append(out, "nat: "+nat.NAT())
	}
	if _, ok := cloud.As[cloud.Power](d); ok {
		out = append(out, "power")
	}
	if _, ok := cloud.As[cloud.Pricer](d); ok {
		out = append(out, "prices")
	}
	if _, ok := cloud.As[cloud.Quoter](d); ok {
		out = append(out, "quotas")
	}
	return out
}
