package alibaba

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"

	"github.com/cbnet-io/cbnet/cloud"
)

// What every machine gets.
const (
	bandwidth = 100          // Mbit/s to the internet, the most there is; paid by traffic
	disk      = "cloud_essd" // the one category that all current types and zones have
)

// CreateVM implements cloud.Driver. It sends VMSpec.Token as ClientToken, and
// looks for the token's tag before, which lasts as long as the machine.
func (d *Driver) CreateVM(ctx context.Context, spec cloud.VMSpec) (cloud.VM, error) {
	if err := spec.Validate(MaxUserData); err != nil {
		return cloud.VM{}, fmt.Errorf("%s: %w", Provider, err)
	}
	tags, err := machineTags(spec)
	if err != nil {
		return cloud.VM{}, err
	}
	vm, err := d.createVM(ctx, spec, tags)
	if err != nil {
		return cloud.VM{}, fmt.Errorf("%s VM %s in %s: %w", Provider, spec.Name, spec.Region, err)
	}
	return vm, nil
}

func (d *Driver) createVM(ctx context.Context, spec cloud.VMSpec, tags map[string]string) (cloud.VM, error) {
	byToken := spec.Owner.Tags()
	byToken[cloud.KeyToken] = spec.Token
	list, err := d.instances(ctx, spec.Region, byToken, "")
	if err != nil {
		return cloud.VM{}, err
	}
	if len(list) > 0 {
		vms, err := d.machines(ctx, spec.Region, list)
		if err != nil {
			return cloud.VM{}, err
		}
		return oldest(vms), nil
	}
	if spec.Zone != "" {
		if err := d.checkZone(ctx, spec); err != nil {
			return cloud.VM{}, err
		}
	}
	resp := ecs.CreateRunInstancesResponse()
	if err := d.call(ctx, spec.Region, runRequest(spec, tags), resp); err != nil {
		if errors.Is(err, cloud.ErrInUse) { // the VSwitch is busy with something else
			err = notYet(err)
		}
		return cloud.VM{}, err
	}
	if n := len(resp.InstanceIdSets.InstanceIdSet); n != 1 {
		return cloud.VM{}, fmt.Errorf("%w: RunInstances answered with %d instances", cloud.ErrUnavailable, n)
	}
	return cloud.VM{
		ID: resp.InstanceIdSets.InstanceIdSet[0], Name: spec.Name, Node: spec.Node, Token: spec.Token,
		State: cloud.VMPending, PrivateIP: spec.PrivateIP, Zone: spec.Zone,
	}, nil
}

// oldest returns the machine that was made first, of those that live if any
// does. There are several only if ECS forgot a token.
func oldest(vms []cloud.VM) cloud.VM {
	dead := func(v cloud.VM) int {
		if v.State == cloud.VMFailed {
			return 1
		}
		return 0
	}
	return slices.MinFunc(vms, func(a, b cloud.VM) int {
		return cmp.Or(dead(a)-dead(b), a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}

// checkZone refuses a zone that is not the network's.
func (d *Driver) checkZone(ctx context.Context, spec cloud.VMSpec) error {
	list, err := d.vswitches(ctx, spec.Region, nil, "", spec.Network.SubnetID)
	switch {
	case err != nil:
		return err
	case len(list) == 0:
		return fmt.Errorf("VSwitch %s: %w", spec.Network.SubnetID, cloud.ErrNotFound)
	case list[0].ZoneId != spec.Zone:
		return fmt.Errorf("%w: zone %s: the network's VSwitch %s is in %s, and all its machines are there", cloud.ErrInvalid, spec.Zone, spec.Network.SubnetID, list[0].ZoneId)
	}
	return nil
}

func runRequest(spec cloud.VMSpec, tags map[string]string) *ecs.RunInstancesRequest {
	req := ecs.CreateRunInstancesRequest()
	req.ClientToken, req.Amount = spec.Token, pageSize(1)
	req.InstanceName, req.HostName = vendorName(spec.Name), hostName(spec.Name)
	req.InstanceType, req.ImageId, req.SystemDiskCategory = spec.Spec, spec.Image, disk
	req.InstanceChargeType = "PostPaid"
	req.VSwitchId, req.SecurityGroupId, req.ZoneId = spec.Network.SubnetID, spec.Network.SecurityGroup, spec.Zone
	req.PrivateIpAddress = spec.PrivateIP.String()
	if spec.PublicIP {
		req.InternetMaxBandwidthOut, req.InternetChargeType = pageSize(bandwidth), "PayByTraffic"
	}
	req.KeyPairName = spec.Network.Key
	req.UserData = base64.StdEncoding.EncodeToString(spec.UserData)
	req.Tag = repeated(tags, func(k, v string) ecs.RunInstancesTag { return ecs.RunInstancesTag{Key: k, Value: v} })
	return req
}

// hostName returns the name in the machine: two characters at least.
func hostName(name string) string {
	if len(name) < 2 {
		return "vm-" + name
	}
	return name
}

// instances lists instances by tags or id.
func (d *Driver) instances(ctx context.Context, region string, tags map[string]string, id string) ([]ecs.Instance, error) {
	var out []ecs.Instance
	for next := ""; ; {
		req, resp := ecs.CreateDescribeInstancesRequest(), ecs.CreateDescribeInstancesResponse()
		req.MaxResults, req.NextToken = pageSize(100), next
		if tags != nil {
			req.Tag = repeated(tags, func(k, v string) ecs.DescribeInstancesTag { return ecs.DescribeInstancesTag{Key: k, Value: v} })
		}
		if id != "" {
			ids, err := json.Marshal([]string{id})
			if err != nil {
				return nil, err
			}
			req.InstanceIds = string(ids)
		}
		if err := d.call(ctx, region, req, resp); err != nil {
			return nil, err
		}
		out = append(out, resp.Instances.Instance...)
		if next = resp.NextToken; next == "" {
			return out, nil
		}
	}
}

// machines translates ECS's view of instances, and asks once more about those
// that do not run: a failure to create one is in an event, not in its state.
func (d *Driver) machines(ctx context.Context, region string, list []ecs.Instance) ([]cloud.VM, error) {
	vms := make([]cloud.VM, len(list))
	var idle []string
	for i, inst := range list {
		vms[i] = machine(inst)
		if vms[i].State != cloud.VMRunning {
			idle = append(idle, vms[i].ID)
		}
	}
	reasons, err := d.failures(ctx, region, idle)
	if err != nil {
		return nil, err
	}
	for i := range vms {
		if reason, failed := reasons[vms[i].ID]; failed && vms[i].State != cloud.VMRunning {
			vms[i].State, vms[i].Reason = cloud.VMFailed, reason
		}
	}
	return vms, nil
}

func machine(i ecs.Instance) cloud.VM {
	tags := ecsTags(i.Tags.Tag)
	created, _ := time.Parse("2006-01-02T15:04Z", i.CreationTime) // zero if ECS tells none
	return cloud.VM{
		ID: i.InstanceId, Name: ourName(i.InstanceName), Node: tags[cloud.KeyNode], Token: tags[cloud.KeyToken],
		State: state(i.Status), Zone: i.ZoneId, Created: created,
		PrivateIP: addr(i.VpcAttributes.PrivateIpAddress.IpAddress),
		PublicIP:  addr(append(i.PublicIpAddress.IpAddress, i.EipAddress.IpAddress)),
	}
}

// addr returns the first address of a list.
func addr(list []string) netip.Addr {
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			return a
		}
	}
	return netip.Addr{}
}

// state maps the state of an instance.
func state(status string) cloud.VMState {
	switch status {
	case "Running":
		return cloud.VMRunning
	case "Stopping", "Stopped":
		return cloud.VMStopped
	default: // Pending, Starting
		return cloud.VMPending
	}
}
