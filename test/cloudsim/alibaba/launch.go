package alibaba

import (
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
)

// Limits of a launch, as ECS has them.
const (
	maxUserData = 32 << 10 // bytes, before base64
	maxLaunch   = 100      // instances of one call
)

// runInstances makes instances. It answers with their ids before any of them
// exists.
func runInstances(c *call) (obj, error) {
	n, err := c.q.number("Amount", 1)
	if err != nil {
		return nil, err
	}
	if n < 1 || n > maxLaunch {
		return nil, invalid("Amount", c.q.str("Amount"))
	}
	order := &instance{}
	for _, step := range []func(*instance) error{c.orderNames, c.orderMachine, c.orderNetwork, c.orderAddresses, c.orderUserData} {
		if err := step(order); err != nil {
			return nil, err
		}
	}
	if order.ip.IsValid() && n > 1 {
		return nil, fault(400, "UnsupportedParameter", "PrivateIpAddress with an Amount over 1 is not simulated.")
	}
	if err := c.admit(order, n); err != nil {
		return nil, err
	}
	if err := c.wire(order.vpc); err != nil {
		return nil, err
	}
	var ids []string
	for range n {
		id, err := c.launch(*order)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return obj{"InstanceIdSets": obj{"InstanceIdSet": ids}, "OrderId": "", "TradePrice": 0.05}, nil
}

// orderNames reads names and tags.
func (c *call) orderNames(i *instance) (err error) {
	i.name, i.host, i.description = c.q.str("InstanceName"), c.q.str("HostName"), c.q.str("Description")
	if i.name != "" {
		if err := name("InstanceName", i.name, 2); err != nil {
			return err
		}
	}
	if n := len(i.host); i.host != "" && (n < 2 || n > 64 || i.host[0] == '-' || i.host[n-1] == '-') {
		return fault(400, "InvalidHostName.Malformed", "The specified parameter \"HostName\" is not valid.")
	}
	if i.tags, err = c.q.tags(); err != nil {
		return err
	}
	return description(i.description)
}

// orderMachine reads the image, the type, the disk and the key.
func (c *call) orderMachine(i *instance) error {
	var ok bool
	if i.image, ok = imageNamed(c.q.str("ImageId")); !ok {
		return fault(404, "InvalidImageId.NotFound", "The specified ImageId does not exist.")
	}
	if i.machine, ok = machineNamed(c.q.str("InstanceType")); !ok {
		return fault(403, "InvalidInstanceType.ValueNotSupported", "The specified InstanceType does not exist or beyond the permitted range.")
	}
	if i.machine.arm != (i.image.arch == "arm64") {
		return fault(400, "InvalidParameter.Mismatch", "The specified ImageId and InstanceType do not match in architecture.")
	}
	if d := c.q.str("SystemDisk.Category"); d != "" && !slices.Contains([]string{"cloud_efficiency", "cloud_ssd", "cloud_essd", "cloud_auto", "cloud_essd_entry"}, d) {
		return fault(400, "InvalidSystemDiskCategory.ValueNotSupported", "The specified parameter \"SystemDisk.Category\" is not valid.")
	}
	if t := c.q.str("InstanceChargeType"); t != "" && t != "PostPaid" {
		return fault(400, "UnsupportedParameter", "InstanceChargeType %.40q is not simulated.", t)
	}
	if i.key = c.q.str("KeyPairName"); i.key != "" {
		if _, ok := c.r.keys.Get(i.key); !ok {
			return fault(404, "InvalidKeyPair.NotFound", "The specified KeyPairName does not exist.")
		}
	}
	i.tokens, i.imds = c.q.str("HttpTokens"), c.q.str("HttpEndpoint")
	for value, allowed := range map[*string][]string{&i.tokens: {"optional", "required"}, &i.imds: {"enabled", "disabled"}} {
		if *value == "" {
			*value = allowed[0]
		}
		if !slices.Contains(allowed, *value) {
			return invalid("MetadataOptions", *value)
		}
	}
	return nil
}

// orderNetwork reads where the instances are to be.
func (c *call) orderNetwork(i *instance) error {
	s, err := c.vswitch(c.q.str("VSwitchId"))
	if err != nil {
		return err
	}
	g, ok := c.r.groups.Get(c.q.str("SecurityGroupId"))
	switch z := c.q.str("ZoneId"); {
	case !ok:
		return fault(404, "InvalidSecurityGroupId.NotFound", "The specified SecurityGroupId does not exist.")
	case g.vpc != s.vpc:
		return fault(403, "InvalidParameter.Mismatch", "Specified security group and virtual switch are not in the same VPC.")
	case z != "" && z != s.zone:
		return fault(403, "InvalidParameter.Mismatch", "The specified ZoneId is not that of the VSwitch.")
	case c.switchState(s) != available:
		return fault(403, "IncorrectVSwitchStatus", "The current status of virtual switch does not support this operation.")
	case !c.r.sells(s.zone, i.machine):
		return fault(403, "InvalidResourceType.NotSupported", "user order resource type [%s] not exists in [%s]", i.machine.name, s.zone)
	}
	i.vpc, i.vswitch, i.zone, i.group = s.vpc, s.id, s.zone, g.id
	return nil
}

// orderAddresses reads the private address and whether there is a public one.
func (c *call) orderAddresses(i *instance) (err error) {
	if i.bandwidth, err = c.q.number("InternetMaxBandwidthOut", 0); err != nil {
		return err
	}
	if i.bandwidth < 0 || i.bandwidth > 100 {
		return fault(400, "InvalidInternetMaxBandwidthOut.ValueNotSupported", "The specified InternetMaxBandwidthOut is beyond the permitted range.")
	}
	text := c.q.str("PrivateIpAddress")
	if text == "" {
		return nil
	}
	s, _ := c.r.vswitches.Get(i.vswitch)
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil || !s.usable(ip):
		return fault(400, "InvalidPrivateIpAddress.Malformed", "Specified private IP address is not in the CIDR block of virtual switch.")
	case c.r.used(s)[ip]:
		return fault(400, "InvalidPrivateIpAddress.Duplicated", "Specified private IP address is duplicated.")
	}
	i.ip = ip
	return nil
}

// orderUserData reads the user data.
func (c *call) orderUserData(i *instance) (err error) {
	if i.userData, err = base64.StdEncoding.DecodeString(c.q.str("UserData")); err != nil {
		return fault(400, "InvalidUserData.Base64FormatInvalid", "The specified parameter UserData must be base64 encoded.")
	}
	if len(i.userData) > maxUserData {
		return fault(400, "InvalidUserData.SizeExceeded", "The specified parameter UserData exceeds the size.")
	}
	return nil
}

// admit decides whether there is room for an order.
func (c *call) admit(i *instance, n int) error {
	if limit, ok := c.opts.Faults.Quota(Name, c.r.region, "vm"); ok && c.r.instances.Len()+n > limit {
		return fault(403, "QuotaExceed.ElasticQuota", "The number of the specified ECS instances has exceeded the quota of the specified instance type.")
	}
	if c.vcpusUsed()+n*i.machine.vcpu > c.vcpuLimit() {
		return fault(403, "QuotaExceed.ElasticQuota", "The total vCPUs of the instances exceed the quota of the account.")
	}
	if c.opts.Faults.NoCapacity(Name, c.r.region, i.zone) {
		return fault(403, "OperationDenied.NoStock", "The resource is out of stock in the specified zone. Please try other types, or choose other regions and zones.")
	}
	return nil
}

// launch makes one instance and starts it. If it cannot be started, nothing of
// it stays.
func (c *call) launch(i instance) (string, error) {
	s, _ := c.r.vswitches.Get(i.vswitch)
	if !i.ip.IsValid() {
		ip, err := c.r.pick(s)
		if err != nil {
			return "", err
		}
		i.ip = ip
	}
	i.id, i.made, i.state, i.doomed = newID("i-"), c.now(), statePending, c.opts.Faults.AsyncFail()
	if i.name == "" {
		i.name = i.id
	}
	if i.host == "" {
		i.host = "iZ" + i.id[2:] + "Z"
	}
	b := i.ip.As4()
	i.mac = net.HardwareAddr{0x00, 0x16, 0x3e, b[1], b[2], b[3]} // Alibaba's
	c.r.instances.Put(i.id, &i)
	err := c.givePublic(&i)
	if err == nil {
		err = c.boot(&i)
	}
	if err != nil {
		if dropErr := c.drop(&i); dropErr != nil {
			c.opts.Log.Error("instance not undone", "vm", i.id, "err", dropErr)
		}
		return "", err
	}
	return i.id, nil
}
