package aws

import (
	"cmp"
	"encoding/base64"
	"net/netip"
	"slices"
)

// Limits of a launch, as EC2 has them.
const (
	maxUserData = 16384 // bytes, before base64
	maxToken    = 64    // bytes of a client token
	maxLaunch   = 100   // instances of one call
)

// launch is what a client token stands for.
type launch struct {
	params      string // canonical form of the request
	reservation string
}

// order is a launch as asked for, checked.
type order struct {
	min, max    int
	image       image
	machine     machine
	key         string
	userData    string
	subnet      *subnet
	ip          netip.Addr // zero = any
	groups      []string
	public      bool
	keep        bool // the interface
	description string
	model       instance // carries the attributes that every instance gets
	tags        map[string]map[string]string
}

func runInstances(c *call) (any, error) {
	token := c.q.str("ClientToken")
	if len(token) > maxToken || !plain(token) {
		return nil, fault(400, "InvalidParameterValue", "Value (%s) for parameter clientToken is invalid. It must be at most %d ASCII characters.", token, maxToken)
	}
	params := c.q.canonical("ClientToken", "DryRun", "Action", "Version")
	if old, ok := c.r.launches[token]; ok && token != "" {
		if old.params != params {
			return nil, fault(400, "IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return c.reservation(old.reservation), nil
	}
	origin, err := c.apply(c.q)
	if err != nil {
		return nil, err
	}
	o, err := c.parseOrder()
	if err != nil {
		return nil, err
	}
	n, err := c.admit(o)
	if err != nil {
		return nil, err
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	if err := c.wire(c.vpcOf(o.subnet)); err != nil {
		return nil, err
	}
	reservation := newID("r-")
	for index := range n {
		if err := c.launchOne(o, reservation, token, index); err != nil {
			return nil, err
		}
	}
	for _, i := range c.r.instances.Where(func(i *instance) bool { return i.reservation == reservation }) {
		c.r.setTags(i.id, origin)
	}
	if token != "" {
		c.r.launches[token] = launch{params, reservation}
	}
	return c.reservation(reservation), nil
}

// vpcOf returns the VPC of a subnet.
func (c *call) vpcOf(s *subnet) *vpc {
	v, _ := c.r.vpcs.Get(s.vpc)
	return v
}

// reservation prints the instances of one launch.
func (c *call) reservation(id string) xmlReservation {
	rows := c.r.xmlReservations(c.r.instances.Where(func(i *instance) bool { return i.reservation == id }))
	if len(rows.Items) == 0 {
		return xmlReservation{ID: id, OwnerID: account}
	}
	return rows.Items[0]
}

// parseOrder reads the parameters of RunInstances.
func (c *call) parseOrder() (*order, error) {
	o := &order{}
	steps := []func(*order) error{c.orderCount, c.orderMachine, c.orderUserData, c.orderNetwork, c.orderAttributes}
	for _, step := range steps {
		if err := step(o); err != nil {
			return nil, err
		}
	}
	var err error
	o.tags, err = tagSpecs(c.q, "instance", "volume", "network-interface")
	return o, err
}

// orderCount reads how many instances are wanted.
func (c *call) orderCount(o *order) error {
	var err error
	if o.min, err = c.q.number("MinCount", 0); err != nil {
		return err
	}
	if o.max, err = c.q.number("MaxCount", 0); err != nil {
		return err
	}
	switch {
	case !c.q.has("MinCount"):
		return missing("MinCount")
	case !c.q.has("MaxCount"):
		return missing("MaxCount")
	case o.min < 1 || o.min > o.max || o.max > maxLaunch:
		return fault(400, "InvalidParameterValue", "Value (%d, %d) for parameters minCount and maxCount is invalid.", o.min, o.max)
	}
	return nil
}

// orderMachine reads the image, the type and the key.
func (c *call) orderMachine(o *order) error {
	id, err := c.q.need("ImageId")
	if err != nil {
		return err
	}
	if o.image, err = c.r.image(id); err != nil {
		return err
	}
	name := cmp.Or(c.q.str("InstanceType"), "m1.small")
	var ok bool
	if o.machine, ok = machineNamed(name); !ok {
		return fault(400, "InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	if o.machine.arch != o.image.arch {
		return fault(400, "InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI.", o.machine.arch, o.image.arch)
	}
	if o.key = c.q.str("KeyName"); o.key != "" {
		_, err = c.r.keyNamed(o.key)
	}
	return err
}

// orderUserData reads the user data.
func (c *call) orderUserData(o *order) error {
	o.userData = c.q.str("UserData")
	raw, err := base64.StdEncoding.DecodeString(o.userData)
	if err != nil {
		return fault(400, "InvalidUserData.Malformed", "Invalid BASE64 encoding of user data")
	}
	if len(raw) > maxUserData {
		return fault(400, "InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	return nil
}

// orderNetwork reads where the instances are to be, by their one interface or
// by the parameters of the instance.
func (c *call) orderNetwork(o *order) error {
	q := c.q
	if nics := c.q.items("NetworkInterface"); len(nics) > 0 {
		switch {
		case len(nics) > 1 || nics[0].str("NetworkInterfaceId") != "":
			return fault(400, "Unsupported", "Instances with several or with existing network interfaces are not simulated.")
		case nics[0].str("DeviceIndex") != "0":
			return fault(400, "InvalidParameterValue", "Each network interface requires a device index.")
		case c.q.has("SubnetId"):
			return fault(400, "InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
		case c.q.has("SecurityGroupId") || c.q.has("SecurityGroup"):
			return fault(400, "InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
		}
		q = nics[0]
	}
	if err := c.orderSubnet(o, q.str("SubnetId")); err != nil {
		return err
	}
	var err error
	if o.public, err = q.boolean("AssociatePublicIpAddress", o.subnet.mapPublic); err != nil {
		return err
	}
	whole, err := q.boolean("DeleteOnTermination", true)
	if err != nil {
		return err
	}
	o.keep, o.description = !whole, q.str("Description")
	if err := c.orderGroups(o, q.list("SecurityGroupId")); err != nil {
		return err
	}
	return c.orderAddress(o, q.str("PrivateIpAddress"))
}

// orderSubnet finds the subnet, or one of the default VPC's in the wanted zone
// or in one with room.
func (c *call) orderSubnet(o *order, id string) error {
	zone := c.q.str("Placement.AvailabilityZone")
	if zone != "" && !slices.Contains(c.r.zones, zone) {
		return fault(400, "InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	if id != "" {
		s, err := find(&c.r.subnets, "subnet-", id)
		if err != nil {
			return err
		}
		if zone != "" && zone != s.zone {
			return fault(400, "InvalidParameterValue", "The availability zone '%s' does not match that of the subnet '%s'.", zone, s.id)
		}
		o.subnet = s
		return nil
	}
	v, err := c.r.defaultVPC()
	if err != nil {
		return err
	}
	own := c.r.subnets.Where(func(s *subnet) bool { return s.vpc == v.id && s.isDefault && (zone == "" || s.zone == zone) })
	if len(own) == 0 {
		return fault(400, "MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", v.id)
	}
	o.subnet = own[0]
	for _, s := range own {
		if !c.opts.Faults.NoCapacity(Name, c.r.name, s.zone) {
			o.subnet = s
			break
		}
	}
	return nil
}

// orderGroups reads the security groups.
func (c *call) orderGroups(o *order, ids []string) error {
	for _, name := range c.q.list("SecurityGroup") {
		g, ok := c.r.groupNamed(o.subnet.vpc, name)
		if !ok {
			return fault(400, "InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", name, o.subnet.vpc)
		}
		ids = append(ids, g.id)
	}
	for _, id := range ids {
		g, err := find(&c.r.groups, "sg-", id)
		if err != nil {
			return err
		}
		if g.vpc != o.subnet.vpc {
			return fault(400, "InvalidParameter", "Security group %s and subnet %s belong to different networks.", g.id, o.subnet.id)
		}
	}
	if len(ids) == 0 {
		g, _ := c.r.groupNamed(o.subnet.vpc, "default")
		ids = []string{g.id}
	}
	o.groups = ids
	return nil
}

// orderAddress reads the private address.
func (c *call) orderAddress(o *order, s string) error {
	s = cmp.Or(s, c.q.str("PrivateIpAddress"))
	if s == "" {
		return nil
	}
	ip, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return fault(400, "InvalidParameterValue", "invalid value for parameter address: %s", s)
	case o.max > 1:
		return fault(400, "InvalidParameterCombination", "Private IP addresses cannot be specified when launching multiple instances")
	case !o.subnet.cidr.Contains(ip):
		return fault(400, "InvalidParameterValue", "Address %s does not fall within the subnet's address range", s)
	case !o.subnet.usable(ip):
		return fault(400, "InvalidParameterValue", "Address %s is in subnet's reserved address range", s)
	case c.r.used(o.subnet)[ip]:
		return fault(400, "InvalidIPAddress.InUse", "Address %s is in use.", s)
	}
	o.ip = ip
	return nil
}

// orderAttributes reads what else every instance gets.
func (c *call) orderAttributes(o *order) error {
	m := &o.model
	m.tokens = cmp.Or(c.q.str("MetadataOptions.HttpTokens"), "optional")
	m.imds = cmp.Or(c.q.str("MetadataOptions.HttpEndpoint"), "enabled")
	m.tagsInside = c.q.str("MetadataOptions.InstanceMetadataTags") == "enabled"
	m.shutdown = cmp.Or(c.q.str("InstanceInitiatedShutdownBehavior"), "stop")
	switch {
	case m.tokens != "optional" && m.tokens != "required":
		return invalid("HttpTokens", m.tokens)
	case m.imds != "enabled" && m.imds != "disabled":
		return invalid("HttpEndpoint", m.imds)
	case m.shutdown != "stop" && m.shutdown != "terminate":
		return invalid("InstanceInitiatedShutdownBehavior", m.shutdown)
	}
	var err error
	if m.hops, err = c.q.number("MetadataOptions.HttpPutResponseHopLimit", 1); err != nil {
		return err
	}
	if m.hops < 1 || m.hops > 64 {
		return invalid("HttpPutResponseHopLimit", itoa(m.hops))
	}
	if m.protected, err = c.q.boolean("DisableApiTermination", false); err != nil {
		return err
	}
	m.stopGuard, err = c.q.boolean("DisableApiStop", false)
	return err
}

// admit decides how many instances of an order there is room for.
func (c *call) admit(o *order) (int, error) {
	live := c.r.instances.Where(func(i *instance) bool { return i.state != stateTerminated && i.state != stateShuttingDown })
	n := o.max
	if limit, ok := c.opts.Faults.Quota(Name, c.r.name, "vm"); ok {
		if n = min(n, limit-len(live)); n < o.min {
			return 0, fault(400, "InstanceLimitExceeded", "You have requested more instances (%d) than your current instance limit of %d allows for the specified instance type. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", len(live)+o.min, limit)
		}
	}
	if limit, ok := c.opts.Faults.Quota(Name, c.r.name, "vcpu"); ok {
		used := 0
		for _, i := range live {
			used += i.machine.vcpu
		}
		if n = min(n, (limit-used)/o.machine.vcpu); n < o.min {
			return 0, fault(400, "VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", limit)
		}
	}
	if c.opts.Faults.NoCapacity(Name, c.r.name, o.subnet.zone) {
		return 0, fault(500, "InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", o.machine.name, o.subnet.zone)
	}
	room := c.r.xmlSubnet(o.subnet).Free
	if n = min(n, room); n < o.min {
		return 0, fault(400, "InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", o.subnet.id)
	}
	return n, nil
}

// launchOne makes one instance with its interface and starts it. If it cannot
// be started, nothing of it stays.
func (c *call) launchOne(o *order, reservation, token string, index int) error {
	ip := o.ip
	if !ip.IsValid() {
		var err error
		if ip, err = c.r.free(o.subnet); err != nil {
			return err
		}
	}
	i := o.model
	i.id, i.reservation, i.token, i.index = newID("i-"), reservation, token, index
	i.image, i.machine, i.key, i.userData, i.zone = o.image, o.machine, o.key, o.userData, o.subnet.zone
	i.volume, i.public, i.launched = newID("vol-"), o.public, c.now()
	i.state, i.changed, i.doomed = statePending, i.launched, c.opts.Faults.AsyncFail()
	e := &eni{
		id: newID("eni-"), vpc: o.subnet.vpc, subnet: o.subnet.id, zone: o.subnet.zone, ip: ip, mac: macOf(o.subnet.vpc, ip),
		groups: o.groups, description: o.description, keep: o.keep, instance: i.id, attachment: newID("eni-attach-"), created: i.launched,
	}
	i.eni = e.id
	c.r.enis.Put(e.id, e)
	c.r.instances.Put(i.id, &i)
	c.r.setTags(i.id, o.tags["instance"])
	c.r.setTags(i.volume, o.tags["volume"])
	c.r.setTags(e.id, o.tags["network-interface"])
	if err := c.boot(&i); err != nil {
		c.r.instances.Delete(i.id)
		c.r.forget(i.id)
		c.r.forget(i.volume)
		return cmp.Or(c.dropENI(e), err)
	}
	return nil
}
