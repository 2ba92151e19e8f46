package gcp

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/compute/apiv1/computepb"

	"github.com/cbnet-io/cbnet/cloud"
)

// counted are the limits of a region that machines of ours count against, beside
// those of machine families (N2_CPUS).
var counted = []string{"CPUS", "INSTANCES", "IN_USE_ADDRESSES", "DISKS_TOTAL_GB", "SSD_TOTAL_GB"}

// Quotas implements cloud.Quoter: those of the region, and the project's limit of
// processors in all regions.
func (d *Driver) Quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	s := d.session(ctx)
	out, err := s.quotas(region)
	if err != nil {
		return nil, fmt.Errorf("gcp quotas in %s: %w", region, s.explain(region, err))
	}
	return out, nil
}

func (s *session) quotas(region string) ([]cloud.Quota, error) {
	r, err := s.getRegion(region)
	if err != nil {
		return nil, err
	}
	c, err := s.projects()
	if err != nil {
		return nil, err
	}
	p, err := c.Get(s.ctx, &computepb.GetProjectRequest{Project: s.project})
	if err != nil {
		return nil, wrap("projects.get", err)
	}
	var out []cloud.Quota
	for _, q := range r.GetQuotas() {
		if slices.Contains(counted, q.GetMetric()) || familyCPUs(q.GetMetric()) {
			out = append(out, quota(q))
		}
	}
	for _, q := range p.GetQuotas() {
		if q.GetMetric() == "CPUS_ALL_REGIONS" {
			out = append(out, quota(q))
		}
	}
	return out, nil
}

// familyCPUs reports whether a limit is that of the processors of a machine
// family that is paid by use.
func familyCPUs(metric string) bool {
	return strings.HasSuffix(metric, "_CPUS") && !strings.HasPrefix(metric, "PREEMPTIBLE_") && !strings.HasPrefix(metric, "COMMITTED_")
}

func quota(q *computepb.Quota) cloud.Quota {
	return cloud.Quota{Name: q.GetMetric(), Used: int(q.GetUsage()), Limit: int(q.GetLimit())}
}
