package openstack

import (
	"context"
	"errors"
	"fmt"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/limits"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"

	"github.com/cbnet-io/cbnet/cloud"
)

// Quotas implements cloud.Quoter: Nova's limits of the project, and Neutron's
// where it has the extension quota_details and lets the project read them.
func (d *Driver) Quotas(ctx context.Context, region string) ([]cloud.Quota, error) {
	fail := func(err error) ([]cloud.Quota, error) { return nil, fmt.Errorf("quotas in %s: %w", region, err) }
	r, err := d.in(ctx, region)
	if err != nil {
		return fail(err)
	}
	l, err := limits.Get(ctx, r.compute, limits.GetOpts{}).Extract()
	if err != nil {
		return fail(wrap("GET /limits", err))
	}
	a := l.Absolute
	out := []cloud.Quota{
		{Name: "instances", Used: a.TotalInstancesUsed, Limit: a.MaxTotalInstances},
		{Name: "cores", Used: a.TotalCoresUsed, Limit: a.MaxTotalCores},
		{Name: "ram", Used: a.TotalRAMUsed, Limit: a.MaxTotalRAMSize},
	}
	project, err := d.project(ctx)
	if err != nil {
		return fail(err)
	}
	q, err := quotas.GetDetail(ctx, r.network, project).Extract()
	switch err = wrap("GET /quotas/PROJECT/details", err); {
	case errors.Is(err, cloud.ErrNotFound), errors.Is(err, cloud.ErrAuth):
		return out, nil // no such extension, or not for this project
	case err != nil:
		return fail(err)
	}
	for _, v := range []struct {
		name   string
		detail quotas.QuotaDetail
	}{
		{"network", q.Network}, {"subnet", q.Subnet}, {"router", q.Router}, {"port", q.Port},
		{"floatingip", q.FloatingIP}, {"security_group", q.SecurityGroup}, {"security_group_rule", q.SecurityGroupRule},
	} {
		out = append(out, cloud.Quota{Name: v.name, Used: v.detail.Used, Limit: v.detail.Limit})
	}
	return out, nil
}

// project returns the id of the project that the token is for.
func (d *Driver) project(ctx context.Context) (string, error) {
	s, err := d.logIn(ctx)
	if err != nil {
		return "", err
	}
	r, ok := s.client.GetAuthResult().(interface {
		ExtractProject() (*tokens.Project, error)
	})
	if !ok {
		return "", fmt.Errorf("%s: %w: the login names no project", Provider, cloud.ErrInvalid)
	}
	p, err := r.ExtractProject()
	if err != nil || p == nil {
		return "", fmt.Errorf("%s: %w: the login is for no project: %w", Provider, cloud.ErrInvalid, err)
	}
	return p.ID, nil
}
