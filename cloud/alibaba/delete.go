package alibaba

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"

	"github.com/cbnet-io/cbnet/cloud"
)

// Delete implements cloud.Driver: one look for the mark, one call to delete.
func (d *Driver) Delete(ctx context.Context, res cloud.Resource) error {
	x := deletion{d: d, res: res}
	steps := map[cloud.Kind]func(context.Context) error{
		cloud.KindVM:            x.vm,
		cloud.KindKey:           x.key,
		cloud.KindSecurityGroup: x.group,
		cloud.KindSubnet:        x.vswitch,
		cloud.KindNetwork:       x.vpc,
	}
	step, ok := steps[res.Kind]
	if !ok || res.ID == "" {
		return fmt.Errorf("%s: delete %s %q: %w: this driver makes no such thing", Provider, res.Kind, res.ID, cloud.ErrInvalid)
	}
	err := step(ctx)
	if err == nil || errors.Is(err, cloud.ErrNotFound) || malformed(err) {
		return nil
	}
	if errors.Is(err, cloud.ErrOwner) {
		return err
	}
	return fmt.Errorf("%s: delete %s %s in %s: %w", Provider, res.Kind, res.ID, res.Region, err)
}

// malformed reports whether an id is not even of a form that Alibaba gives out:
// it names nothing.
func malformed(err error) bool {
	return already(err, "InvalidInstanceId.Malformed", "InvalidSecurityGroupId.Malformed", "InvalidVpcId.Malformed",
		"InvalidVSwitchId.Malformed", "InvalidKeyPairName.Malformed")
}

// deletion is one Delete under way. Its steps return nil or a not-found error
// when there is nothing (left) to delete.
type deletion struct {
	d   *Driver
	res cloud.Resource
}

func (x deletion) vm(ctx context.Context) error {
	list, err := x.d.instances(ctx, x.res.Region, nil, x.res.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := cloud.CheckOwner(x.res, ecsTags(list[0].Tags.Tag)); err != nil {
		return err
	}
	req := ecs.CreateDeleteInstanceRequest()
	req.InstanceId, req.Force = x.res.ID, yes
	return x.d.call(ctx, x.res.Region, req, ecs.CreateDeleteInstanceResponse())
}

func (x deletion) key(ctx context.Context) error {
	list, err := x.d.keys(ctx, x.res.Region, nil, x.res.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := cloud.CheckOwner(x.res, ecsTags(list[0].Tags.Tag)); err != nil {
		return err
	}
	names, err := json.Marshal([]string{x.res.ID})
	if err != nil {
		return err
	}
	req := ecs.CreateDeleteKeyPairsRequest()
	req.KeyPairNames = string(names)
	return x.d.call(ctx, x.res.Region, req, ecs.CreateDeleteKeyPairsResponse())
}

func (x deletion) group(ctx context.Context) error {
	list, err := x.d.groups(ctx, x.res.Region, nil, "", x.res.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := cloud.CheckOwner(x.res, ecsTags(list[0].Tags.Tag)); err != nil {
		return err
	}
	req := ecs.CreateDeleteSecurityGroupRequest()
	req.SecurityGroupId = x.res.ID
	return x.d.call(ctx, x.res.Region, req, ecs.CreateDeleteSecurityGroupResponse())
}

func (x deletion) vswitch(ctx context.Context) error {
	list, err := x.d.vswitches(ctx, x.res.Region, nil, "", x.res.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := cloud.CheckOwner(x.res, vpcTags(list[0].Tags.Tag)); err != nil {
		return err
	}
	req := vpc.CreateDeleteVSwitchRequest()
	req.VSwitchId = x.res.ID
	return x.d.call(ctx, x.res.Region, req, vpc.CreateDeleteVSwitchResponse())
}

func (x deletion) vpc(ctx context.Context) error {
	list, err := x.d.vpcs(ctx, x.res.Region, nil, x.res.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := cloud.CheckOwner(x.res, vpcTags(list[0].Tags.Tag)); err != nil {
		return err
	}
	if list[0].Status == deleting {
		return nil
	}
	req := vpc.CreateDeleteVpcRequest()
	req.VpcId = x.res.ID
	return x.d.call(ctx, x.res.Region, req, vpc.CreateDeleteVpcResponse())
}
