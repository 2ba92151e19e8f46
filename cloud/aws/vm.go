package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/cbnet-io/cbnet/cloud"
)

// CreateVM implements cloud.Driver. It sends VMSpec.Token as ClientToken, which
// EC2 honours for a day at least, and looks for the token's tag before, which
// lasts as long as the machine.
func (d *Driver) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(MaxUserData); err != nil {
		return cloud.VM{}, err
	}
	c := d.client(spec.Region)
	fail := func(err error) (cloud.VM, error) {
		return cloud.VM{}, fmt.Errorf("VM %s in %s: %w", spec.Name, spec.Region, d.in(ctx, spec.Region, err))
	}
	inst, found, err := byToken(ctx, c, spec)
	if err != nil {
		return fail(err)
	}
	if !found {
		made, err := c.RunInstances(ctx, runInput(spec))
		if err != nil {
			return fail(wrap("RunInstances", err))
		}
		if len(made.Instances) != 1 {
			return fail(fmt.Errorf("%w: RunInstances answered with %d instances", cloud.ErrUnavailable, len(made.Instances)))
		}
		inst = made.Instances[0]
	}
	vm := machine(inst)
	if vm.State == cloud.VMDeleting || vm.State == cloud.VMFailed || !spec.Forwards {
		return vm, nil
	}
	if found && inst.SourceDestCheck != nil && !*inst.SourceDestCheck {
		return vm, nil
	}
	_, err = c.ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{
		InstanceId: inst.InstanceId, SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)},
	})
	if err != nil {
		return fail(notYet(wrap("ModifyInstanceAttribute", err)))
	}
	return vm, nil
}

// byToken looks for the instance of spec.Token. If there are several, which
// only a cloud that ignores ClientToken makes possible, it returns the oldest
// that lives.
func byToken(ctx context.Context, c *ec2.Client, spec cloud.VMSpec) (types.Instance, bool, error) {
	list, err := instances(ctx, c, &ec2.DescribeInstancesInput{
		Filters: append(ownerFilters(spec.Owner), filter("tag:"+cloud.KeyToken, literal(spec.Token))),
	})
	if err != nil || len(list) == 0 {
		return types.Instance{}, false, err
	}
	dead := func(i types.Instance) int {
		if i.State != nil && (i.State.Name == types.InstanceStateNameTerminated || i.State.Name == types.InstanceStateNameShuttingDown) {
			return 1
		}
		return 0
	}
	slices.SortFunc(list, func(a, b types.Instance) int {
		if d := dead(a) - dead(b); d != 0 {
			return d
		}
		if d := aws.ToTime(a.LaunchTime).Compare(aws.ToTime(b.LaunchTime)); d != 0 {
			return d
		}
		return strings.Compare(aws.ToString(a.InstanceId), aws.ToString(b.InstanceId))
	})
	return list[0], true, nil
}

func instances(ctx context.Context, c *ec2.Client, in *ec2.DescribeInstancesInput) ([]types.Instance, error) {
	var out []types.Instance
	for p := ec2.NewDescribeInstancesPaginator(c, in); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, wrap("DescribeInstances", err)
		}
		for _, r := range page.Reservations {
			out = append(out, r.Instances...)
		}
	}
	return out, nil
}

func runInput(spec cloud.VMSpec) *ec2.RunInstancesInput {
	tags := labelTags(spec.Labels)
	maps.Copy(tags, spec.Owner.Tags())
	maps.Copy(tags, map[string]string{cloud.KeyNode: spec.Node, cloud.KeyToken: spec.Token})
	in := &ec2.RunInstancesInput{
		ClientToken:  aws.String(spec.Token),
		ImageId:      aws.String(spec.Image),
		InstanceType: types.InstanceType(spec.Spec),
		MinCount:     aws.Int32(1),
		MaxCount:     aws.Int32(1),
		UserData:     aws.String(base64.StdEncoding.EncodeToString(spec.UserData)),
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex:              aws.Int32(0),
			SubnetId:                 aws.String(spec.Network.SubnetID),
			Groups:                   []string{spec.Network.SecurityGroup},
			PrivateIpAddress:         aws.String(spec.PrivateIP.String()),
			AssociatePublicIpAddress: aws.Bool(spec.PublicIP),
			DeleteOnTermination:      aws.Bool(true),
		}},
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired},
		TagSpecifications: tagSpec(tags, spec.Name,
			types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface),
	}
	if spec.Network.Key != "" {
		in.KeyName = aws.String(spec.Network.Key)
	}
	if spec.Zone != "" {
		in.Placement = &types.Placement{AvailabilityZone: aws.String(spec.Zone)}
	}
	return in
}

// machine translates EC2's view of an instance.
func machine(i types.Instance) cloud.VM {
	tags := tagMap(i.Tags)
	vm := cloud.VM{
		ID:        aws.ToString(i.InstanceId),
		Name:      tags[keyName],
		Node:      tags[cloud.KeyNode],
		Token:     tags[cloud.KeyToken],
		PrivateIP: addr(i.PrivateIpAddress),
		PublicIP:  addr(i.PublicIpAddress),
		Created:   aws.ToTime(i.LaunchTime),
	}
	if i.Placement != nil {
		vm.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	vm.State, vm.Reason = state(i)
	return vm
}

func addr(s *string) netip.Addr {
	a, err := netip.ParseAddr(aws.ToString(s))
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// state maps EC2's state. An instance that is terminated by neither a caller
// nor its own shutdown has failed.
func state(i types.Instance) (cloud.VMState, string) {
	if i.State == nil {
		return cloud.VMPending, ""
	}
	switch i.State.Name {
	case types.InstanceStateNameRunning:
		return cloud.VMRunning, ""
	case types.InstanceStateNameStopping, types.InstanceStateNameStopped:
		return cloud.VMStopped, ""
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		if r := i.StateReason; r != nil && failed(aws.ToString(r.Code)) {
			return cloud.VMFailed, aws.ToString(r.Code) + ": " + strings.TrimPrefix(aws.ToString(r.Message), aws.ToString(r.Code)+": ")
		}
		return cloud.VMDeleting, ""
	default:
		return cloud.VMPending, ""
	}
}

// failed reports whether a StateReason code means that EC2 gave up, rather than
// that someone ended the instance.
func failed(code string) bool {
	switch code {
	case "Client.UserInitiatedShutdown", "Client.InstanceInitiatedShutdown":
		return false
	}
	return strings.HasPrefix(code, "Server.") || strings.HasPrefix(code, "Client.")
}

// ConsoleOutput implements cloud.Console.
func (d *Driver) ConsoleOutput(ctx context.Context, region, id string) (string, error) {
	out, err := d.client(region).GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id)})
	if err != nil {
		return "", fmt.Errorf("VM %s in %s: %w", id, region, d.in(ctx, region, wrap("GetConsoleOutput", err)))
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return "", fmt.Errorf("VM %s in %s: console: %w", id, region, err)
	}
	return string(text), nil
}

// Start implements cloud.Power.
func (d *Driver) Start(ctx context.Context, region, id string) error {
	_, err := d.client(region).StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}})
	return d.power(ctx, "start", region, id, wrap("StartInstances", err))
}

// Stop implements cloud.Power.
func (d *Driver) Stop(ctx context.Context, region, id string) error {
	_, err := d.client(region).StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	return d.power(ctx, "stop", region, id, wrap("StopInstances", err))
}

// Reboot implements cloud.Power.
func (d *Driver) Reboot(ctx context.Context, region, id string) error {
	_, err := d.client(region).RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: []string{id}})
	return d.power(ctx, "reboot", region, id, wrap("RebootInstances", err))
}

func (d *Driver) power(ctx context.Context, what, region, id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s VM %s in %s: %w", what, id, region, d.in(ctx, region, err))
}

// gone reports whether err says that the id names nothing: unknown, or not
// even of a form that EC2 gives out.
func gone(err error) bool {
	var e *cloud.APIError
	if errors.As(err, &e) && strings.HasSuffix(e.Code, ".Malformed") {
		return true
	}
	return errors.Is(err, cloud.ErrNotFound)
}
