package alibaba

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/cbnet-io/cbnet/cloud"
)

// reserved is the range that Alibaba's own services have in every VPC.
var reserved = netip.MustParsePrefix("100.64.0.0/10")

// States of VPCs and VSwitches.
const (
	available = "Available"
	deleting  = "Deleting"
)

// EnsureNetwork implements cloud.Driver: VPC, VSwitch, security group, rules,
// key pair. Each step looks for what is there, then creates what is missing
// with the mark on it, and waits until what it made can be built upon.
func (d *Driver) EnsureNetwork(ctx context.Context, spec cloud.NetworkSpec) (cloud.Network, error) {
	err := spec.Validate()
	switch {
	case err != nil:
		return cloud.Network{}, fmt.Errorf("%s: %w", Provider, err)
	case spec.NAT:
		err = fmt.Errorf("%w: this driver makes no way out for machines without a public address", cloud.ErrInvalid)
	case spec.CIDR.Overlaps(reserved):
		err = fmt.Errorf("%w: range %s: Alibaba keeps %s for itself", cloud.ErrInvalid, spec.CIDR, reserved)
	}
	if err == nil {
		err = cloud.CheckSSHKeyType(Provider, spec.SSHKey, keyTypes)
	}
	if err != nil {
		return cloud.Network{}, fmt.Errorf("%s network %s in %s: %w", Provider, spec.Name, spec.Region, err)
	}
	n := network{d: d, spec: spec}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"VPC", n.ensureVPC},
		{"VSwitch", n.ensureSwitch},
		{"security group", n.ensureGroup},
		{"security group rules", n.ensureRules},
		{"key pair", n.ensureKey},
	} {
		if err := step.do(ctx); err != nil {
			return cloud.Network{}, fmt.Errorf("%s network %s in %s: %s: %w", Provider, spec.Name, spec.Region, step.what, err)
		}
	}
	return cloud.Network{ID: n.vpc, SubnetID: n.vswitch, SecurityGroup: n.group, Key: n.key}, nil
}

// network is one EnsureNetwork under way.
type network struct {
	d    *Driver
	spec cloud.NetworkSpec

	vpc, vswitch, group, key string
}

func (n *network) ensureVPC(ctx context.Context) error {
	list, err := n.d.vpcs(ctx, n.spec.Region, ownerTags(n.spec.Owner), "")
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(v vpc.Vpc) bool { return ourName(v.VpcName) != n.spec.Name || v.Status == deleting })
	if len(list) > 0 {
		v := first(list, func(v vpc.Vpc) string { return v.VpcId })
		if v.CidrBlock != n.spec.CIDR.String() {
			return fmt.Errorf("%w: %s has range %s, want %s", cloud.ErrConflict, v.VpcId, v.CidrBlock, n.spec.CIDR)
		}
		n.vpc = v.VpcId
		return n.ready(ctx, n.vpc, n.vpcStatus)
	}
	n.vpc, err = n.create(ctx, func(token string) (string, error) {
		req, resp := vpc.CreateCreateVpcRequest(), vpc.CreateCreateVpcResponse()
		req.VpcName, req.CidrBlock, req.ClientToken = vendorName(n.spec.Name), n.spec.CIDR.String(), token
		req.Description = n.spec.Owner.Description()
		req.Tag = repeated(n.spec.Owner.Tags(), func(k, v string) vpc.CreateVpcTag { return vpc.CreateVpcTag{Key: k, Value: v} })
		err := n.d.call(ctx, n.spec.Region, req, resp)
		return resp.VpcId, err
	}, n.vpcStatus, "vpc", n.spec.Name, n.spec.CIDR.String())
	return err
}

func (n *network) vpcStatus(ctx context.Context, id string) (string, error) {
	list, err := n.d.vpcs(ctx, n.spec.Region, nil, id)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].Status, nil
}

func (n *network) ensureSwitch(ctx context.Context) error {
	list, err := n.d.vswitches(ctx, n.spec.Region, ownerTags(n.spec.Owner), n.vpc, "")
	if err != nil {
		return err
	}
	if len(list) > 0 {
		n.vswitch = first(list, func(s vpc.VSwitch) string { return s.VSwitchId }).VSwitchId
		return n.ready(ctx, n.vswitch, n.switchStatus)
	}
	zone, _, err := n.d.market(ctx, n.spec.Region)
	if err != nil {
		return err
	}
	n.vswitch, err = n.create(ctx, func(token string) (string, error) {
		req, resp := vpc.CreateCreateVSwitchRequest(), vpc.CreateCreateVSwitchResponse()
		req.VpcId, req.ZoneId, req.CidrBlock, req.ClientToken = n.vpc, zone, n.spec.CIDR.String(), token
		req.VSwitchName, req.Description = vendorName(n.spec.Name), n.spec.Owner.Description()
		req.Tag = repeated(n.spec.Owner.Tags(), func(k, v string) vpc.CreateVSwitchTag { return vpc.CreateVSwitchTag{Key: k, Value: v} })
		err := n.d.call(ctx, n.spec.Region, req, resp)
		return resp.VSwitchId, err
	}, n.switchStatus, "vswitch", n.vpc, zone)
	return err
}

func (n *network) switchStatus(ctx context.Context, id string) (string, error) {
	list, err := n.d.vswitches(ctx, n.spec.Region, nil, "", id)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].Status, nil
}

// Patience of EnsureNetwork, in looks that are Config.Poll apart.
const (
	maxLooks = 30 // at something that is visible and not ready
	maxBlind = 10 // at an id that is not visible
	maxLives = 8  // ids of earlier lives
)

// create makes an object under a token that stands for what is asked for, and
// waits until it is ready. An id that does not become visible is that of an
// object which had the same token and has been deleted since.
func (n *network) create(ctx context.Context, do func(token string) (string, error), status func(context.Context, string) (string, error), what ...string) (string, error) {
	for life := range maxLives {
		id, err := do(n.token(life, what))
		if err != nil {
			return "", hidden(err)
		}
		if id == "" {
			return "", fmt.Errorf("%w: the answer names nothing", cloud.ErrUnavailable)
		}
		seen, err := n.wait(ctx, id, status)
		if seen || err != nil {
			return id, err
		}
	}
	return "", fmt.Errorf("%w: made, and not visible yet", cloud.ErrUnavailable)
}

// ready waits for an object that was seen before.
func (n *network) ready(ctx context.Context, id string, status func(context.Context, string) (string, error)) error {
	seen, err := n.wait(ctx, id, status)
	if err == nil && !seen {
		err = fmt.Errorf("%w: %s has gone, or is not visible yet", cloud.ErrUnavailable, id)
	}
	return err
}

// wait looks until an object is available, and reports whether it was ever seen.
func (n *network) wait(ctx context.Context, id string, status func(context.Context, string) (string, error)) (bool, error) {
	seen := false
	for look := range maxLooks {
		got, err := status(ctx, id)
		switch {
		case err != nil:
			return seen, err
		case got == available:
			return true, nil
		case got == "" && (seen || look >= maxBlind):
			return false, nil
		case got != "":
			seen = true
		}
		if err := pause(ctx, n.d.poll); err != nil {
			return seen, err
		}
	}
	return seen, fmt.Errorf("%w: %s is not available yet", cloud.ErrUnavailable, id)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", cloud.ErrUnavailable, ctx.Err())
	}
}

// token is the idempotency key of an object of the network: the same for the
// same wish, at most 64 ASCII characters.
func (n *network) token(life int, what []string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d", n.spec.Owner.Description(), what, life))
	return fmt.Sprintf("cbnet-%x", sum[:20])
}

// first returns the item with the smallest id: the same one on every try, if a
// look-up that lagged behind ever led to two.
func first[T any](items []T, id func(T) string) T {
	return slices.MinFunc(items, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
}
