package mcistest

import (
	"context"
	"fmt"

	"github.com/cbnet-io/cbnet/cloud"
)

// EnsureNetwork implements cloud.Driver: the parts of a network, one after the
// other, each with a call of its own.
func (c *Cloud) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	if err := spec.Validate(); err != nil {
		return cloud.Network{}, err
	}
	traits := c.traits()
	if spec.NAT && traits.NAT == "" {
		return cloud.Network{}, fmt.Errorf("network %s: %w: no NAT here", spec.Name, cloud.ErrInvalid)
	}
	var net cloud.Network
	for _, part := range []struct {
		kind cloud.Kind
		id   *string
		want bool
	}{
		{cloud.KindGroup, new(string), traits.Groups},
		{cloud.KindNetwork, &net.ID, true},
		{cloud.KindSubnet, &net.SubnetID, true},
		{cloud.KindRouter, new(string), spec.NAT},
		{cloud.KindSecurityGroup, &net.SecurityGroup, true},
		{cloud.KindKey, &net.Key, spec.SSHKey != "" && traits.Pairs},
	} {
		if !part.want {
			continue
		}
		err := c.change(ctx, "ensure "+string(part.kind), func() (err error) {
			*part.id, err = c.ensure(part.kind, spec)
			return err
		})
		if err != nil {
			return cloud.Network{}, err
		}
	}
	if !traits.Pairs && !traits.NoKeys {
		net.Key = spec.SSHKey
	}
	return net, nil
}

// ensure makes one part of a network, or returns the one that is there. c.mu is
// held.
func (c *Cloud) ensure(kind cloud.Kind, spec cloud.NetworkSpec) (string, error) {
	o := c.part(kind, spec)
	if o == nil {
		o = c.add(cloud.Resource{Kind: kind, Region: spec.Region, Name: spec.Name, Owner: spec.Owner, Tags: spec.Owner.Tags()})
		o.key = spec.SSHKey
	}
	if kind != cloud.KindKey {
		return o.res.ID, nil
	}
	if o.key != spec.SSHKey {
		return "", c.err("ensure key: another key", cloud.ErrConflict)
	}
	return o.res.Name, nil
}

func (c *Cloud) part(kind cloud.Kind, spec cloud.NetworkSpec) *object {
	for _, o := range c.objs {
		if o.res.Kind == kind && o.res.Region == spec.Region && o.res.Owner == spec.Owner && o.res.Name == spec.Name {
			return o
		}
	}
	return nil
}
