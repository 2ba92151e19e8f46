package gcp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	compute "cloud.google.com/go/compute/apiv1"
	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// zoneFor returns the zone of a machine: that of the spec, or else one that its
// token picks among those that offer the machine type. The choice is the same on
// every try, and few machines would get another zone if one came or went
// (rendezvous hashing).
func (s *session) zoneFor(spec cloud.VMSpec) (string, error) {
	if spec.Zone != "" {
		return spec.Zone, nil
	}
	all, err := s.zonesOf(spec.Spec)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(slices.Clone(all), func(z string) bool { return regionOf(z) != spec.Region })
	if len(all) == 0 {
		return "", fmt.Errorf("machine type %q: %w: no zone of the region offers it", spec.Spec, cloud.ErrInvalid)
	}
	return slices.MaxFunc(all, func(a, b string) int {
		return cmp.Compare(digest(spec.Token+" "+a), digest(spec.Token+" "+b))
	}), nil
}

// zonesOf returns the zones of all regions that offer a machine type. It asks
// once for each.
func (s *session) zonesOf(name string) ([]string, error) {
	s.mu.Lock()
	have, ok := s.zones[name]
	s.mu.Unlock()
	if ok {
		return have, nil
	}
	c, err := s.machineTypes()
	if err != nil {
		return nil, err
	}
	it := c.AggregatedList(s.ctx, &computepb.AggregatedListMachineTypesRequest{Project: s.project, Filter: proto.String(fmt.Sprintf("name = %q", name))})
	var all []string
	err = each(it.Next, func(p compute.MachineTypesScopedListPair) {
		for _, m := range p.Value.GetMachineTypes() {
			all = append(all, last(m.GetZone()))
		}
	})
	if err != nil {
		return nil, wrap("machineTypes.aggregatedList", err)
	}
	slices.Sort(all)
	if len(all) > 0 {
		s.mu.Lock()
		s.zones[name] = all
		s.mu.Unlock()
	}
	return all, nil
}

// explain names the regions that there are, if an error comes from one that does
// not exist.
func (s *session) explain(region string, err error) error {
	if !errors.Is(err, cloud.ErrInvalid) && !errors.Is(err, cloud.ErrNotFound) {
		return err
	}
	all, failed := s.listRegions()
	if failed != nil {
		return err // the first error says more
	}
	if _, wrong := cloud.ResolveRegion(all, region); wrong != nil {
		return fmt.Errorf("%w: %w", wrong, err)
	}
	return err
}
