package alibaba

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cbnet-io/cbnet/cloud"
)

// List implements cloud.Driver by five calls, made at the same time, and a
// sixth while machines are not running.
func (d *Driver) List(ctx context.Context, region string, owner cloud.Owner) ([]cloud.Resource, error) {
	if owner.Mesh == "" {
		return nil, fmt.Errorf("%s: list %s: %w: the owner names no mesh", Provider, region, cloud.ErrInvalid)
	}
	l := lister{d: d, region: region, tags: ownerTags(owner)}
	parts := []func(context.Context) ([]cloud.Resource, error){l.vms, l.keys, l.groups, l.vswitches, l.vpcs}
	lists := make([][]cloud.Resource, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	for i, part := range parts {
		g.Go(func() (err error) {
			lists[i], err = part(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("%s: list %s: %w", Provider, region, err)
	}
	var out []cloud.Resource
	for _, l := range lists {
		for _, r := range l {
			if r.Owner.Matches(owner) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// lister is one List under way.
type lister struct {
	d      *Driver
	region string
	tags   map[string]string
}

func (l lister) resource(kind cloud.Kind, id, name string, tags map[string]string) cloud.Resource {
	return cloud.Resource{Kind: kind, Region: l.region, ID: id, Name: ourName(name), Owner: cloud.OwnerOf(tags), Tags: tags}
}

func (l lister) vms(ctx context.Context) ([]cloud.Resource, error) {
	list, err := l.d.instances(ctx, l.region, l.tags, "")
	if err != nil {
		return nil, err
	}
	vms, err := l.d.machines(ctx, l.region, list)
	if err != nil {
		return nil, err
	}
	out := make([]cloud.Resource, len(list))
	for i, inst := range list {
		out[i] = l.resource(cloud.KindVM, inst.InstanceId, inst.InstanceName, ecsTags(inst.Tags.Tag))
		out[i].VM, out[i].Labels = &vms[i], userLabels(out[i].Tags)
	}
	return out, nil
}

func (l lister) keys(ctx context.Context) (out []cloud.Resource, err error) {
	list, err := l.d.keys(ctx, l.region, l.tags, "")
	for _, k := range list {
		r := l.resource(cloud.KindKey, k.KeyPairName, k.KeyPairName, ecsTags(k.Tags.Tag))
		r.Name = k.KeyPairName
		out = append(out, r)
	}
	return out, err
}

func (l lister) groups(ctx context.Context) (out []cloud.Resource, err error) {
	list, err := l.d.groups(ctx, l.region, l.tags, "", "")
	for _, g := range list {
		out = append(out, l.resource(cloud.KindSecurityGroup, g.SecurityGroupId, g.SecurityGroupName, ecsTags(g.Tags.Tag)))
	}
	return out, err
}

func (l lister) vswitches(ctx context.Context) (out []cloud.Resource, err error) {
	list, err := l.d.vswitches(ctx, l.region, l.tags, "", "")
	for _, s := range list {
		r := l.resource(cloud.KindSubnet, s.VSwitchId, s.VSwitchName, vpcTags(s.Tags.Tag))
		r.Parent = s.VpcId
		out = append(out, r)
	}
	return out, err
}

func (l lister) vpcs(ctx context.Context) (out []cloud.Resource, err error) {
	list, err := l.d.vpcs(ctx, l.region, l.tags, "")
	for _, v := range list {
		out = append(out, l.resource(cloud.KindNetwork, v.VpcId, v.VpcName, vpcTags(v.Tags.Tag)))
	}
	return out, err
}
