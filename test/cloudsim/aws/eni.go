package aws

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/test/cloudsim/fabric"
)

// eni is a network interface. Each instance has one, made with it and, unless it
// is to be kept, gone with it; one that is kept can be deleted and nothing else.
type eni struct {
	id          string
	vpc         string
	subnet      string
	zone        string
	ip          netip.Addr
	mac         net.HardwareAddr
	groups      []string
	description string
	instance    string
	attachment  string
	noCheck     bool // source/destination check is off
	keep        bool // DeleteOnTermination is off
	created     time.Time

	public      netip.Addr // zero = none
	allocation  string     // id of the elastic address that public is, "" for one of Amazon's own
	association string

	// what the fabric has been told
	mapped   netip.Addr
	enforced bool
	rules    []fabric.Rule
}

// macOf derives an interface's hardware address from its private address and
// VPC, so that it is the same at every boot.
func macOf(vpc string, ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x0a, vpc[len(vpc)-1], b[0], b[1], b[2], b[3]}
}

// givePublic gives an interface a public address of Amazon's own.
func (c *call) givePublic(e *eni) error {
	addr, err := c.opts.Fabric.AllocatePublic(c.ctx)
	if err != nil {
		return err
	}
	e.public, e.association = addr, newID("eipassoc-")
	return c.remap(e)
}

// takePublic takes an interface's public address away. One of Amazon's own
// goes back to the pool, an elastic one stays with its owner.
func (c *call) takePublic(e *eni) error {
	if !e.public.IsValid() {
		return nil
	}
	old, allocation := e.public, e.allocation
	e.public, e.allocation, e.association = netip.Addr{}, "", ""
	if err := c.remap(e); err != nil {
		return err
	}
	if allocation != "" {
		return nil
	}
	return c.opts.Fabric.ReleasePublic(old)
}

// dropENI removes an interface and what the fabric has of it.
func (c *call) dropENI(e *eni) error {
	if err := c.takePublic(e); err != nil {
		return err
	}
	if err := c.opts.Fabric.SetFirewall(c.ctx, e.vpc, e.ip, nil); err != nil {
		return err
	}
	c.r.enis.Delete(e.id)
	c.r.forget(e.id)
	return c.enforce(e.vpc)
}

// detachENI leaves an interface behind when its instance goes.
func (c *call) detachENI(e *eni) error {
	if err := c.takePublic(e); err != nil {
		return err
	}
	e.instance, e.attachment = "", ""
	return c.enforce(e.vpc)
}

func deleteNetworkInterface(c *call) (any, error) {
	e, err := findParam(c, &c.r.enis, "eni-", "NetworkInterfaceId")
	if err != nil {
		return nil, err
	}
	if e.instance != "" {
		return nil, fault(400, "InvalidNetworkInterface.InUse", "The network interface '%s' is currently in use.", e.id)
	}
	if err := c.dryRun(); err != nil {
		return nil, err
	}
	return done{true}, c.dropENI(e)
}

// dnsName returns the private name of an address.
func (r *region) dnsName(ip netip.Addr) string {
	suffix := r.name + ".compute.internal"
	if r.name == "us-east-1" {
		suffix = "ec2.internal"
	}
	b := ip.As4()
	return fmt.Sprintf("ip-%d-%d-%d-%d.%s", b[0], b[1], b[2], b[3], suffix)
}

// publicName returns the public name of an address, "" unless the VPC gives
// names.
func (r *region) publicName(vpcID string, ip netip.Addr) string {
	v, ok := r.vpcs.Get(vpcID)
	if !ok || !ip.IsValid() || !v.dnsHostnames && !v.isDefault {
		return ""
	}
	suffix := r.name + ".compute.amazonaws.com"
	if r.name == "us-east-1" {
		suffix = "compute-1.amazonaws.com"
	}
	b := ip.As4()
	return fmt.Sprintf("ec2-%d-%d-%d-%d.%s", b[0], b[1], b[2], b[3], suffix)
}

type xmlGroupName struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

// xmlGroupNames prints the groups of an interface.
func (r *region) xmlGroupNames(ids []string) set[xmlGroupName] {
	return setOf(ids, func(id string) xmlGroupName {
		g, ok := r.groups.Get(id)
		if !ok {
			return xmlGroupName{ID: id}
		}
		return xmlGroupName{id, g.name}
	})
}

type xmlENI struct {
	ID          string             `xml:"networkInterfaceId"`
	Subnet      string             `xml:"subnetId"`
	VPC         string             `xml:"vpcId"`
	Zone        string             `xml:"availabilityZone,omitempty"`
	Description string             `xml:"description"`
	OwnerID     string             `xml:"ownerId"`
	Managed     bool               `xml:"requesterManaged"`
	Status      string             `xml:"status"`
	MAC         string             `xml:"macAddress"`
	IP          string             `xml:"privateIpAddress"`
	DNS         string             `xml:"privateDnsName"`
	Check       bool               `xml:"sourceDestCheck"`
	Groups      set[xmlGroupName]  `xml:"groupSet"`
	Attachment  *xmlENIAttachment  `xml:"attachment"`
	Association *xmlENIAssociation `xml:"association"`
	IPs         set[xmlENIAddress] `xml:"privateIpAddressesSet"`
	IPv6        set[string]        `xml:"ipv6AddressesSet"`
	Type        string             `xml:"interfaceType"`
	Tags        *set[xmlTag]       `xml:"tagSet"`
}

type xmlENIAttachment struct {
	ID       string `xml:"attachmentId"`
	Instance string `xml:"instanceId,omitempty"`
	Owner    string `xml:"instanceOwnerId,omitempty"`
	Index    int    `xml:"deviceIndex"`
	Card     int    `xml:"networkCardIndex"`
	Status   string `xml:"status"`
	Time     string `xml:"attachTime"`
	Delete   bool   `xml:"deleteOnTermination"`
}

type xmlENIAssociation struct {
	Allocation  string `xml:"allocationId,omitempty"`
	Association string `xml:"associationId,omitempty"`
	Owner       string `xml:"ipOwnerId"`
	Name        string `xml:"publicDnsName"`
	IP          string `xml:"publicIp"`
}

type xmlENIAddress struct {
	IP          string             `xml:"privateIpAddress"`
	DNS         string             `xml:"privateDnsName"`
	Primary     bool               `xml:"primary"`
	Association *xmlENIAssociation `xml:"association"`
}

// xmlENI prints a network interface, as part of its instance or by itself.
func (r *region) xmlENI(e *eni, within bool) xmlENI {
	x := xmlENI{
		ID: e.id, Subnet: e.subnet, VPC: e.vpc, Description: e.description, OwnerID: account, Status: "in-use",
		MAC: e.mac.String(), IP: e.ip.String(), DNS: r.dnsName(e.ip), Check: !e.noCheck, Groups: r.xmlGroupNames(e.groups),
		Type: "interface",
	}
	if e.instance == "" {
		x.Status = "available"
	} else {
		x.Attachment = &xmlENIAttachment{ID: e.attachment, Status: "attached", Time: stamp(e.created), Delete: !e.keep}
	}
	if e.public.IsValid() {
		x.Association = &xmlENIAssociation{Owner: "amazon", Name: r.publicName(e.vpc, e.public), IP: e.public.String()}
		if e.allocation != "" {
			x.Association.Owner = account
		}
		if !within {
			x.Association.Allocation, x.Association.Association = e.allocation, e.association
		}
	}
	x.IPs.Items = []xmlENIAddress{{x.IP, x.DNS, true, x.Association}}
	if !within {
		tags := r.xmlTags(e.id)
		x.Zone, x.Tags = e.zone, &tags
		if x.Attachment != nil {
			x.Attachment.Instance, x.Attachment.Owner = e.instance, account
		}
	}
	return x
}

func describeNetworkInterfaces(c *call) (any, error) {
	rows, err := selected(c, &c.r.enis, selection[*eni]{
		param: "NetworkInterfaceId", prefix: "eni-",
		id: func(e *eni) string { return e.id }, attrs: c.r.eniAttrs,
	})
	if err != nil {
		return nil, err
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Interfaces set[xmlENI] `xml:"networkInterfaceSet"`
		Next       string      `xml:"nextToken,omitempty"`
	}{setOf(rows, func(e *eni) xmlENI { return c.r.xmlENI(e, false) }), next}, err
}

// eniAttrs are the filters of DescribeNetworkInterfaces.
func (r *region) eniAttrs(e *eni, f string) ([]string, bool) {
	var public, allocation []string
	if e.public.IsValid() {
		public, allocation = []string{e.public.String()}, []string{e.allocation}
	}
	names := slices.Collect(func(yield func(string) bool) {
		for _, g := range r.xmlGroupNames(e.groups).Items {
			if !yield(g.Name) {
				return
			}
		}
	})
	return fields(map[string][]string{
		"network-interface-id": {e.id}, "vpc-id": {e.vpc}, "subnet-id": {e.subnet}, "availability-zone": {e.zone},
		"group-id": e.groups, "group-name": names, "status": {r.xmlENI(e, true).Status}, "owner-id": {account}, "mac-address": {e.mac.String()},
		"private-ip-address": {e.ip.String()}, "addresses.private-ip-address": {e.ip.String()}, "private-dns-name": {r.dnsName(e.ip)},
		"attachment.instance-id": {e.instance}, "attachment.status": {"attached"}, "attachment.attachment-id": {e.attachment},
		"attachment.device-index": {"0"}, "source-dest-check": {yesNo(!e.noCheck)}, "description": {e.description},
		"association.public-ip": public, "association.allocation-id": allocation, "interface-type": {"interface"},
	})(f)
}
