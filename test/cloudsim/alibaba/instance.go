package alibaba

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// state is where an instance is in its life. It has no state for one that is
// being released or could not be created.
//
//	Pending --> Running --> Stopping --> Stopped --> Starting --> Running
//	                                        |
//	   Running (Force) --> Stopping --------+--> released
type state string

// The states of an instance.
const (
	statePending  state = "Pending"
	stateStarting state = "Starting"
	stateRunning  state = "Running"
	stateStopping state = "Stopping"
	stateStopped  state = "Stopped"
)

// instance is a virtual machine.
type instance struct {
	id, name, host, description string
	image                       image
	machine                     machine
	vpc, vswitch, zone, group   string
	ip                          netip.Addr
	mac                         net.HardwareAddr
	public                      netip.Addr // zero for none
	bandwidth                   int        // to the internet, Mbit/s
	key                         string     // name of the key pair, "" for none
	userData                    []byte
	tokens                      string // metadata: optional or required
	imds                        string // metadata: enabled or disabled
	tags                        map[string]string
	made                        time.Time

	state     state
	doomed    bool // it is going to fail to be created, and has no machine
	releasing bool
	rules     []fabric.Rule // in force
	enforced  bool
}

// doomDelay is how long an instance that is going to fail looks fine.
const doomDelay = 300 * time.Millisecond

// settleInstance takes over how far one machine has come.
func (c *call) settleInstance(i *instance) error {
	if i.doomed {
		return c.settleDoomed(i)
	}
	at := c.opts.Fabric.VMState(i.id)
	switch {
	case i.releasing:
		if at == fabric.StateTerminated || at == fabric.StateNone {
			return c.drop(i)
		}
	case at == fabric.StateRunning:
		if i.state != stateStopping {
			i.state = stateRunning
		}
	case at == fabric.StateStopped:
		i.state = stateStopped // as asked for, by itself, or since it could not start
	}
	return nil
}

// drop forgets an instance and frees what it held.
func (c *call) drop(i *instance) error {
	c.r.instances.Delete(i.id)
	var err error
	if i.public.IsValid() {
		err = errors.Join(c.opts.Fabric.UnmapPublic(c.ctx, i.public), c.opts.Fabric.ReleasePublic(i.public))
	}
	if i.enforced {
		err = errors.Join(err, c.opts.Fabric.SetFirewall(c.ctx, i.vpc, i.ip, nil))
	}
	return errors.Join(err, c.enforce(i.vpc))
}

// boot starts the machine of an instance.
func (c *call) boot(i *instance) error {
	s, _ := c.r.vswitches.Get(i.vswitch)
	if err := c.enforce(i.vpc); err != nil || i.doomed {
		return err
	}
	return c.opts.Fabric.StartVM(c.ctx, fabric.VM{
		ID: i.id, Cloud: Name, Hostname: i.host, NetworkID: i.vpc, PrivateIP: i.ip, Subnet: s.cidr, MAC: i.mac,
		Datasource: "AliYun", Product: "Alibaba Cloud ECS", Metadata: c.metadata(c.r, i.id),
	})
}

// instance returns the instance that a request names, once it is visible.
func (c *call) instance() (*instance, error) {
	i, ok := c.r.instances.Get(c.q.str("InstanceId"))
	if !ok || !c.visible(i.made) {
		return nil, fault(404, "InvalidInstanceId.NotFound", "The specified InstanceId does not exist.")
	}
	return i, nil
}

func describeInstances(c *call) (obj, error) {
	var ids []string
	if text := c.q.str("InstanceIds"); text != "" {
		if err := json.Unmarshal([]byte(text), &ids); err != nil || len(ids) > 100 {
			return nil, fault(400, "InvalidInstanceIds.Malformed", "The specified InstanceIds are not valid.")
		}
	}
	is := func(param, value string) bool { return c.q.str(param) == "" || c.q.str(param) == value }
	rows := c.r.instances.Where(func(i *instance) bool {
		return c.visible(i.made) && (c.q.str("InstanceIds") == "" || slices.Contains(ids, i.id)) && matchName(c.q.str("InstanceName"), i.name) &&
			is("VpcId", i.vpc) && is("VSwitchId", i.vswitch) && is("SecurityGroupId", i.group) && is("ZoneId", i.zone) &&
			is("Status", string(i.state)) && is("InstanceType", i.machine.name) && c.q.matches(i.tags)
	})
	rows, out, err := paged(c.q, rows, func(i *instance) string { return i.id }, 100)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, i := range rows {
		list = append(list, c.r.print(i))
	}
	out["Instances"] = obj{"Instance": list}
	return out, nil
}

// print prints an instance.
func (r *region) print(i *instance) obj {
	public := []string{}
	if i.public.IsValid() {
		public = []string{i.public.String()}
	}
	return obj{
		"InstanceId": i.id, "InstanceName": i.name, "HostName": i.host, "Description": i.description, "Status": string(i.state),
		"RegionId": r.region, "ZoneId": i.zone, "InstanceType": i.machine.name, "Cpu": i.machine.vcpu, "Memory": int(i.machine.gib * 1024),
		"ImageId": i.image.id, "OSType": "linux", "CreationTime": minute(i.made), "StartTime": minute(i.made), "KeyPairName": i.key,
		"InstanceChargeType": "PostPaid", "InternetChargeType": "PayByTraffic", "InternetMaxBandwidthOut": i.bandwidth,
		"InstanceNetworkType": "vpc", "PublicIpAddress": obj{"IpAddress": public}, "InnerIpAddress": obj{"IpAddress": []string{}},
		"EipAddress": obj{"IpAddress": "", "AllocationId": "", "InternetChargeType": ""},
		"VpcAttributes": obj{
			"VpcId": i.vpc, "VSwitchId": i.vswitch, "NatIpAddress": "", "PrivateIpAddress": obj{"IpAddress": []string{i.ip.String()}},
		},
		"SecurityGroupIds": obj{"SecurityGroupId": []string{i.group}}, "Tags": ecsTags(i.tags),
		"OperationLocks": obj{"LockReason": []string{}}, "MetadataOptions": obj{"HttpTokens": i.tokens, "HttpEndpoint": i.imds},
	}
}
