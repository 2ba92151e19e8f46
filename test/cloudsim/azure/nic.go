package azure

import (
	"context"
	"encoding/binary"
	"maps"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// nic is a network interface with one configuration.
type nic struct {
	resource
	config    string // name of the configuration
	subnet    string // keys
	address   string
	security  string
	machine   string
	dynamic   bool
	forwards  bool
	dropIP    bool // the public address goes with the machine
	ip        netip.Addr
	mac       net.HardwareAddr
	reserved  string // for a machine of this key ...
	until     time.Time
	mapped    netip.Addr // in force in the fabric
	rules     []fabric.Rule
	enforced  bool
	subnetRef string // as it was sent
}

func (v *nic) configID() string { return v.id() + "/ipConfigurations/" + v.config }

// networkOf finds the network of an interface.
func (c *call) networkOf(v *nic) (*network, bool) {
	n, _, ok := c.subnetOf(v.subnet)
	return n, ok
}

// subnetOf finds a subnet by its id in lower case.
func (c *call) subnetOf(id string) (*network, subnet, bool) {
	parent, name, _ := strings.Cut(id, "/subnets/")
	n, ok := c.networks.Get(parent)
	if !ok {
		return nil, subnet{}, false
	}
	for _, s := range n.subnets {
		if strings.EqualFold(s.name, name) {
			return n, s, true
		}
	}
	return nil, subnet{}, false
}

func (v *nic) doc(c *call) armnetwork.Interface {
	state := armnetwork.ProvisioningState(v.state)
	method := armnetwork.IPAllocationMethodStatic
	if v.dynamic {
		method = armnetwork.IPAllocationMethodDynamic
	}
	ip := &armnetwork.InterfaceIPConfigurationPropertiesFormat{
		PrivateIPAddress: ptr(v.ip.String()), PrivateIPAllocationMethod: &method, PrivateIPAddressVersion: ptr(armnetwork.IPVersionIPv4),
		Primary: ptr(true), ProvisioningState: &state, Subnet: &armnetwork.Subnet{ID: ptr(v.subnetRef)},
	}
	if a, ok := c.addresses.Get(v.address); ok {
		ip.PublicIPAddress = &armnetwork.PublicIPAddress{ID: ptr(a.id())}
		if v.dropIP {
			ip.PublicIPAddress.Properties = &armnetwork.PublicIPAddressPropertiesFormat{DeleteOption: ptr(armnetwork.DeleteOptionsDelete)}
		}
	}
	d := armnetwork.Interface{
		ID: ptr(v.id()), Name: ptr(v.name), Type: ptr(networking + "/networkInterfaces"), Location: ptr(v.location), Tags: maps.Clone(v.tags), Etag: v.etag(v.machine, v.address),
		Properties: &armnetwork.InterfacePropertiesFormat{
			ProvisioningState: &state, ResourceGUID: ptr(v.guid), EnableIPForwarding: ptr(v.forwards), MacAddress: ptr(strings.ToUpper(strings.ReplaceAll(v.mac.String(), ":", "-"))),
			IPConfigurations: []*armnetwork.InterfaceIPConfiguration{{
				ID: ptr(v.configID()), Name: ptr(v.config), Type: ptr(networking + "/networkInterfaces/ipConfigurations"), Etag: v.etag(), Properties: ip,
			}},
		},
	}
	if s, ok := c.securities.Get(v.security); ok {
		d.Properties.NetworkSecurityGroup = &armnetwork.SecurityGroup{ID: ptr(s.id())}
	}
	if m, ok := c.machines.Get(v.machine); ok {
		d.Properties.VirtualMachine = &armnetwork.SubResource{ID: ptr(m.shownID())}
		d.Properties.Primary = ptr(true)
	}
	return d
}

func (c *call) putNIC(_ context.Context, _, _ string, p armnetwork.Interface, _ *armnetwork.InterfacesClientBeginCreateOrUpdateOptions) (fake.PollerResponder[armnetwork.InterfacesClientCreateOrUpdateResponse], fake.ErrorResponder) {
	type response = armnetwork.InterfacesClientCreateOrUpdateResponse
	v, err := c.readNIC(p)
	if err != nil {
		return refused[response](err)
	}
	old, ok := c.nics.Get(v.key())
	status := 201
	if ok {
		if err := old.same(v.resource); err != nil {
			return refused[response](err)
		}
		if old.subnet != v.subnet || old.ip != v.ip && old.machine != "" {
			return refused[response](notSimulated("change of an interface's address or subnet"))
		}
		v.machine, v.reserved, v.until, v.mapped, v.guid, v.seq = old.machine, old.reserved, old.until, old.mapped, old.guid, old.seq
		v.rules, v.enforced, status = old.rules, old.enforced && old.ip == v.ip, 200
	}
	v.state = stateSucceeded // the real one is as fast
	c.nics.Put(v.key(), v)
	if err := c.remap(v); err != nil {
		return refused[response](err)
	}
	if err := c.enforce(); err != nil {
		return refused[response](err)
	}
	return accepted(status, response{Interface: v.doc(c)})
}

// readNIC checks an interface that a client sent.
func (c *call) readNIC(p armnetwork.Interface) (*nic, *apiError) {
	r, err := c.newResource(p.Location, p.Tags, nil, 80)
	if err != nil {
		return nil, err
	}
	v := &nic{resource: r}
	if p.Properties == nil || len(p.Properties.IPConfigurations) == 0 || p.Properties.IPConfigurations[0] == nil || p.Properties.IPConfigurations[0].Properties == nil {
		return nil, fault(400, "NetworkInterfaceMustHaveOneOrMoreIpConfigurations", "Network Interface %s must have one or more IP configurations.", v.id())
	}
	if len(p.Properties.IPConfigurations) > 1 {
		return nil, notSimulated("interfaces with several configurations")
	}
	v.forwards = or(p.Properties.EnableIPForwarding, false)
	in := p.Properties.IPConfigurations[0]
	v.config = or(in.Name, "")
	if v.config == "" {
		return nil, fault(400, "InvalidRequestFormat", "Cannot parse the request: an IP configuration of %s has no name.", v.id())
	}
	if in.Properties.Subnet == nil || or(in.Properties.Subnet.ID, "") == "" {
		return nil, fault(400, "SubnetIsRequired", "Subnet reference is required for ipconfiguration %s.", v.configID())
	}
	v.subnetRef = *in.Properties.Subnet.ID
	v.subnet = strings.ToLower(v.subnetRef)
	n, s, ok := c.subnetOf(v.subnet)
	if !ok || n.location != v.location {
		return nil, badReference(v.subnetRef, v.configID())
	}
	if n.state == stateUpdating || n.state == stateDeleting {
		return nil, notReady(v.subnetRef, v.configID(), n.state)
	}
	if err := c.readSecurityOf(v, p.Properties.NetworkSecurityGroup); err != nil {
		return nil, err
	}
	if err := c.readAddressOf(v, in.Properties.PublicIPAddress); err != nil {
		return nil, err
	}
	if v.dynamic = or(in.Properties.PrivateIPAllocationMethod, armnetwork.IPAllocationMethodDynamic) == armnetwork.IPAllocationMethodDynamic; v.dynamic {
		err = c.pickIP(v, s)
	} else {
		err = c.readIP(v, s, in.Properties.PrivateIPAddress)
	}
	if err != nil {
		return nil, err
	}
	v.mac = make(net.HardwareAddr, 6)
	b := v.ip.As4()
	binary.BigEndian.PutUint16(v.mac, 0x0022) // 00-22-48 is one of Microsoft's
	v.mac[2] = 0x48
	copy(v.mac[3:], b[1:])
	return v, nil
}

func (c *call) readSecurityOf(v *nic, ref *armnetwork.SecurityGroup) *apiError {
	if ref == nil {
		return nil
	}
	s, ok := c.securities.Get(strings.ToLower(or(ref.ID, "")))
	switch {
	case !ok || s.location != v.location:
		return badReference(or(ref.ID, ""), v.id())
	case s.state == stateUpdating, s.state == stateDeleting:
		return notReady(s.id(), v.id(), s.state)
	}
	v.security = s.key()
	return nil
}

func (c *call) readAddressOf(v *nic, ref *armnetwork.PublicIPAddress) *apiError {
	if ref == nil {
		return nil
	}
	a, ok := c.addresses.Get(strings.ToLower(or(ref.ID, "")))
	switch {
	case !ok || a.location != v.location:
		return badReference(or(ref.ID, ""), v.configID())
	case a.state == stateUpdating, a.state == stateDeleting:
		return notReady(a.id(), v.configID(), a.state)
	}
	if h := c.holder(a); h != nil && h.key() != v.key() {
		return fault(400, "PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", v.configID(), a.id(), h.configID())
	}
	v.address = a.key()
	v.dropIP = ref.Properties != nil && or(ref.Properties.DeleteOption, armnetwork.DeleteOptionsDetach) == armnetwork.DeleteOptionsDelete
	return nil
}

// reservedIP tells whether Azure keeps an address of a subnet for itself: the
// first four and the last.
func reservedIP(s subnet, ip netip.Addr) bool {
	a := s.cidr.Addr()
	for range 4 {
		if a == ip {
			return true
		}
		a = a.Next()
	}
	return !s.cidr.Contains(ip.Next())
}

func (c *call) readIP(v *nic, s subnet, text *string) *apiError {
	if or(text, "") == "" {
		return fault(400, "PrivateIPAddressMissing", "Private IP address is required when privateIPAllocationMethod is Static in IP configuration %s.", v.configID())
	}
	ip, err := netip.ParseAddr(*text)
	if err != nil {
		return fault(400, "InvalidIPAddressFormat", "IP address %s in %s is not valid.", *text, v.configID())
	}
	if !s.cidr.Contains(ip) {
		return fault(400, "PrivateIPAddressNotInSubnet", "Private static IP address %s does not belong to the range of subnet prefix %s.", ip, s.cidr)
	}
	if reservedIP(s, ip) {
		return fault(400, "PrivateIPAddressInReservedRange", "Private static IP address %s falls within reserved IP range of subnet prefix %s.", ip, s.cidr)
	}
	if o := c.withIP(v.subnet, ip); o != nil && o.key() != v.key() {
		return fault(400, "PrivateIPAddressIsAllocated", "IP configuration %s is using the private IP address %s which is already allocated to resource %s.", v.configID(), ip, o.configID())
	}
	v.ip = ip
	return nil
}

func (c *call) withIP(subnet string, ip netip.Addr) *nic {
	for _, v := range c.nics.All() {
		if v.subnet == subnet && v.ip == ip {
			return v
		}
	}
	return nil
}

func (c *call) pickIP(v *nic, s subnet) *apiError {
	if old, ok := c.nics.Get(v.key()); ok && old.subnet == v.subnet {
		v.ip = old.ip
		return nil
	}
	for ip := s.cidr.Addr(); s.cidr.Contains(ip); ip = ip.Next() {
		if !reservedIP(s, ip) && c.withIP(v.subnet, ip) == nil {
			v.ip = ip
			return nil
		}
	}
	return fault(400, "SubnetIsFull", "Subnet %s with address prefix %s does not have enough capacity for 1 IP addresses.", s.name, s.cidr)
}

// remap makes the public address of an interface lead to it.
func (c *call) remap(v *nic) *apiError {
	n, ok := c.networkOf(v)
	if !ok {
		return nil
	}
	var want netip.Addr
	if a, ok := c.addresses.Get(v.address); ok {
		want = a.ip
	}
	if v.mapped == want {
		return nil
	}
	if v.mapped.IsValid() {
		if err := c.opts.Fabric.UnmapPublic(c.ctx, v.mapped); err != nil {
			return fault(500, "InternalServerError", "%s", err)
		}
		v.mapped = netip.Addr{}
	}
	if want.IsValid() {
		if err := c.opts.Fabric.MapPublic(c.ctx, want, n.key(), v.ip); err != nil {
			return fault(500, "InternalServerError", "%s", err)
		}
		v.mapped = want
	}
	return nil
}

func (c *call) getNIC(context.Context, string, string, *armnetwork.InterfacesClientGetOptions) (fake.Responder[armnetwork.InterfacesClientGetResponse], fake.ErrorResponder) {
	v, ok := c.nics.Get(c.path.key())
	if !ok {
		return denied[armnetwork.InterfacesClientGetResponse](notFound(c.path))
	}
	return done(200, armnetwork.InterfacesClientGetResponse{Interface: v.doc(c)})
}

func (c *call) deleteNIC(context.Context, string, string, *armnetwork.InterfacesClientBeginDeleteOptions) (fake.PollerResponder[armnetwork.InterfacesClientDeleteResponse], fake.ErrorResponder) {
	type response = armnetwork.InterfacesClientDeleteResponse
	v, ok := c.nics.Get(c.path.key())
	if !ok {
		return accepted(204, response{})
	}
	if v.machine != "" {
		return refused[response](fault(400, "NicInUse", "Network Interface %s is used by existing resource %s. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.", v.id(), v.machine))
	}
	if v.reserved != "" && c.now().Before(v.until) {
		return refused[response](nicReserved(v))
	}
	c.endNIC(v)
	return accepted(202, response{})
}

func nicReserved(v *nic) *apiError {
	return fault(400, "NicReservedForAnotherVm", "Nic(s) in request is reserved for another Virtual Machine for 180 seconds. Please provide another nic(s) or retry after 180 seconds. Reserved VM: %s", v.reserved)
}

// endNIC begins the deletion of an interface that no machine has.
func (c *call) endNIC(v *nic) {
	if v.state == stateDeleting {
		return
	}
	v.state = stateDeleting
	c.later(networking, v.location, func(c *call) *apiError { return c.removeNIC(v) })
}

// removeNIC ends an interface.
func (c *call) removeNIC(v *nic) *apiError {
	v.address = ""
	if err := c.remap(v); err != nil {
		v.state = stateFailed
		return err
	}
	if n, ok := c.networkOf(v); ok {
		if err := c.opts.Fabric.SetFirewall(c.ctx, n.key(), v.ip, nil); err != nil {
			v.state = stateFailed
			return fault(500, "InternalServerError", "%s", err)
		}
	}
	c.nics.Delete(v.key())
	return nil
}

func (c *call) pageInterface(keep func(*nic) bool) ([]*armnetwork.Interface, *string) {
	return page(c, c.nics.Where(keep), func(v *nic) *armnetwork.Interface { return ptr(v.doc(c)) })
}

func (c *call) listNICs(string, *armnetwork.InterfacesClientListOptions) fake.PagerResponder[armnetwork.InterfacesClientListResponse] {
	var body armnetwork.InterfacesClientListResponse
	body.Value, body.NextLink = c.pageInterface(func(v *nic) bool { return v.groupID() == c.path.groupID() })
	return pager(body)
}

func (c *call) listAllNICs(*armnetwork.InterfacesClientListAllOptions) fake.PagerResponder[armnetwork.InterfacesClientListAllResponse] {
	var body armnetwork.InterfacesClientListAllResponse
	body.Value, body.NextLink = c.pageInterface(func(*nic) bool { return true })
	return pager(body)
}
