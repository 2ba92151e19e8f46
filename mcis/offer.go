package mcis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// defaultMachine is the machine of a group that asks for nothing.
var defaultMachine = Machine{VCPU: 1, MemoryMiB: 1024}

// offer is what a place has to choose from.
type offer struct {
	specs  []cloud.Spec
	images []cloud.Image
	pricer cloud.Pricer // nil where the cloud tells no prices
}

// price returns the price of a machine type, nil where it is not known.
func (o offer) price(region, spec string) *float64 {
	if o.pricer == nil {
		return nil
	}
	if v, ok := o.pricer.PricePerHour(region, spec); ok {
		return &v
	}
	return nil
}

// fillRegions sets the region of groups that name none to their account's.
func (s *Service) fillRegions(ctx context.Context, spec *Spec) (Faults, error) {
	var faults Faults
	for i := range spec.Groups {
		g := &spec.Groups[i]
		if g.Cloud == "" || g.Region != "" || g.Regions != nil {
			continue
		}
		c, err := s.clouds.Cloud(ctx, g.Cloud)
		if errors.Is(err, ErrNoCloud) {
			continue // reported elsewhere
		}
		if err != nil {
			return nil, fmt.Errorf("cloud %s: %w", g.Cloud, err)
		}
		if g.Region = c.Region; g.Region != "" {
			continue
		}
		callCtx, cancel := context.WithTimeout(ctx, readTimeout)
		regions, err := c.Driver.Regions(callCtx)
		cancel()
		if err != nil {
			return nil, &CloudError{Cloud: g.Cloud, Object: "regions", Err: err}
		}
		if len(regions) == 1 {
			g.Region = regions[0].Name
			continue
		}
		faults = append(faults, spec.fault(groupPath(i, "region"), fmt.Sprintf("is missing, and cloud %s has %d regions", g.Cloud, len(regions)),
			"use one of "+few("", regionNames(regions), "cbctl cloud regions "+g.Cloud)))
	}
	return faults, nil
}

func regionNames(regions []cloud.Region) []string {
	out := make([]string, 0, len(regions))
	for _, r := range regions {
		out = append(out, r.Name)
	}
	return out
}

// few returns the names that are most like wish, the first ones if there is no
// wish, as text, and the command that shows the others.
func few(wish string, names []string, all string) string {
	const most = 5
	names = slices.Sorted(slices.Values(names))
	first := names[:min(most, len(names))]
	if wish != "" {
		first = cloud.Nearest(wish, names, most)
	}
	text := strings.Join(first, ", ")
	if len(names) > most {
		text += " (all: " + all + ")"
	}
	return text
}

// offers asks the clouds for machine types and images of the places, several
// at a time, and repeats calls that may be repeated until the deadline.
// Unknown regions are faults.
func (s *Service) offers(ctx context.Context, spec *Spec, places map[place]bool) (map[place]offer, Faults, error) {
	faults, err := s.checkRegions(ctx, spec)
	if err != nil || len(faults) > 0 {
		return nil, faults, err
	}
	out := make(map[place]offer)
	var mu sync.Mutex // guards out
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for p := range places {
		g.Go(func() error {
			c, err := s.clouds.Cloud(ctx, p.Cloud)
			if err != nil {
				return fmt.Errorf("cloud %s: %w", p.Cloud, err)
			}
			o, err := s.offer(ctx, c.Driver, p)
			mu.Lock()
			defer mu.Unlock()
			out[p] = o
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	return out, nil, nil
}

func (s *Service) offer(ctx context.Context, d cloud.Driver, p place) (offer, error) {
	var o offer
	o.pricer, _ = cloud.As[cloud.Pricer](d)
	catalog, ok := cloud.As[cloud.Catalog](d)
	if !ok {
		return o, nil
	}
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		o.specs, err = catalog.Specs(ctx, p.Region)
		return err
	})
	if err != nil {
		return o, &CloudError{Cloud: p.Cloud, Region: p.Region, Object: "machine types", Err: err}
	}
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		o.images, err = catalog.Images(ctx, p.Region)
		return err
	})
	if err != nil {
		return o, &CloudError{Cloud: p.Cloud, Region: p.Region, Object: "images", Err: err}
	}
	return o, nil
}

// checkRegions reports regions that an account does not have.
func (s *Service) checkRegions(ctx context.Context, spec *Spec) (Faults, error) {
	known := make(map[string][]cloud.Region)
	var faults Faults
	for i, g := range spec.Groups {
		if _, ok := known[g.Cloud]; !ok {
			c, err := s.clouds.Cloud(ctx, g.Cloud)
			if err != nil {
				return nil, fmt.Errorf("cloud %s: %w", g.Cloud, err)
			}
			err = s.retry(ctx, func(ctx context.Context) (err error) {
				known[g.Cloud], err = c.Driver.Regions(ctx)
				return err
			})
			if err != nil {
				return nil, &CloudError{Cloud: g.Cloud, Object: "regions", Err: err}
			}
		}
		for j, p := range g.places() {
			if slices.ContainsFunc(known[g.Cloud], func(r cloud.Region) bool { return r.Name == p.Region }) {
				continue
			}
			path := groupPath(i, "region")
			if g.Regions != nil {
				path = fmt.Sprintf("%s[%d]", groupPath(i, "regions"), j)
			}
			faults = append(faults, spec.fault(path, fmt.Sprintf("cloud %s has no region %q", g.Cloud, p.Region), "use one of "+few(p.Region, regionNames(known[g.Cloud]), "cbctl cloud regions "+g.Cloud)))
		}
	}
	return faults, nil
}

// retry makes a call that only reads until it succeeds, fails for good, or the
// deadline of a phase is over.
func (s *Service) retry(ctx context.Context, call func(context.Context) error) error {
	begin := time.Now()
	for n := 0; ; n++ {
		callCtx, cancel := context.WithTimeout(ctx, readTimeout)
		err := call(callCtx)
		cancel()
		if err == nil || !cloud.Retryable(err) || ctx.Err() != nil || time.Since(begin) > s.opt.Deadline {
			return err
		}
		if !pause(ctx, backoff(n, err)) {
			return err
		}
	}
}

// resolve chooses machine type and image of a node; the fault names the field
// of the spec that cannot be had.
func (o offer) resolve(spec *Spec, group int, w *wantedNode) (Fault, bool) {
	m := w.Machine
	if m == (Machine{}) {
		m = defaultMachine
	}
	w.MachineName, w.ImageID = m.Name, w.Image
	if o.specs != nil {
		chosen, err := cloud.ResolveSpec(o.specs, m.Name, m.VCPU, m.MemoryMiB)
		if err != nil {
			return spec.fault(groupPath(group, "spec"), fmt.Sprintf("cloud %s, region %s: %v", w.Cloud, w.Region, err),
				fmt.Sprintf("see: cbctl cloud specs %s --region %s", w.Cloud, w.Region)), false
		}
		w.MachineName = chosen.Name
	}
	if o.images != nil {
		chosen, err := cloud.ResolveImage(o.images, w.Image)
		if err != nil {
			return spec.fault(groupPath(group, "image"), fmt.Sprintf("cloud %s, region %s: %v", w.Cloud, w.Region, err),
				fmt.Sprintf("see: cbctl cloud images %s --region %s", w.Cloud, w.Region)), false
		}
		w.ImageID = chosen.ID
	}
	return Fault{}, true
}
