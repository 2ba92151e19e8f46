package aws

import "slices"

type xmlReservation struct {
	ID        string            `xml:"reservationId"`
	OwnerID   string            `xml:"ownerId"`
	Groups    set[xmlGroupName] `xml:"groupSet"`
	Instances set[xmlInstance]  `xml:"instancesSet"`
}

type xmlInstance struct {
	ID             string            `xml:"instanceId"`
	Image          string            `xml:"imageId"`
	State          xmlState          `xml:"instanceState"`
	PrivateName    string            `xml:"privateDnsName"`
	PublicName     string            `xml:"dnsName"`
	Reason         string            `xml:"reason"`
	Key            string            `xml:"keyName,omitempty"`
	Index          int               `xml:"amiLaunchIndex"`
	ProductCodes   set[string]       `xml:"productCodes"`
	Type           string            `xml:"instanceType"`
	Launched       string            `xml:"launchTime"`
	Placement      xmlPlacement      `xml:"placement"`
	Monitoring     string            `xml:"monitoring>state"`
	Subnet         string            `xml:"subnetId,omitempty"`
	VPC            string            `xml:"vpcId,omitempty"`
	PrivateIP      string            `xml:"privateIpAddress,omitempty"`
	PublicIP       string            `xml:"ipAddress,omitempty"`
	Check          *bool             `xml:"sourceDestCheck"`
	Groups         set[xmlGroupName] `xml:"groupSet"`
	StateReason    *stateReason      `xml:"stateReason"`
	Architecture   string            `xml:"architecture"`
	RootDeviceType string            `xml:"rootDeviceType"`
	RootDeviceName string            `xml:"rootDeviceName"`
	Volumes        set[xmlMapping]   `xml:"blockDeviceMapping"`
	Virtualization string            `xml:"virtualizationType"`
	Token          string            `xml:"clientToken"`
	Tags           set[xmlTag]       `xml:"tagSet"`
	Hypervisor     string            `xml:"hypervisor"`
	Interfaces     set[xmlENI]       `xml:"networkInterfaceSet"`
	EbsOptimized   bool              `xml:"ebsOptimized"`
	Ena            bool              `xml:"enaSupport"`
	CPU            xmlCPU            `xml:"cpuOptions"`
	Metadata       xmlMetadata       `xml:"metadataOptions"`
	Platform       string            `xml:"platformDetails"`
}

type xmlPlacement struct {
	Zone    string `xml:"availabilityZone"`
	Group   string `xml:"groupName"`
	Tenancy string `xml:"tenancy"`
}

type xmlMapping struct {
	Device string    `xml:"deviceName"`
	Ebs    xmlVolume `xml:"ebs"`
}

type xmlVolume struct {
	ID       string `xml:"volumeId"`
	Status   string `xml:"status"`
	Attached string `xml:"attachTime"`
	Delete   bool   `xml:"deleteOnTermination"`
}

type xmlCPU struct {
	Cores   int `xml:"coreCount"`
	Threads int `xml:"threadsPerCore"`
}

type xmlMetadata struct {
	State    string `xml:"state"`
	Tokens   string `xml:"httpTokens"`
	Hops     int    `xml:"httpPutResponseHopLimit"`
	Endpoint string `xml:"httpEndpoint"`
	IPv6     string `xml:"httpProtocolIpv6"`
	Tags     string `xml:"instanceMetadataTags"`
}

// xmlReservations prints instances by the launches that made them.
func (r *region) xmlReservations(rows []*instance) set[xmlReservation] {
	var out set[xmlReservation]
	for _, i := range rows {
		at := slices.IndexFunc(out.Items, func(x xmlReservation) bool { return x.ID == i.reservation })
		if at < 0 {
			at = len(out.Items)
			out.Items = append(out.Items, xmlReservation{ID: i.reservation, OwnerID: account})
		}
		out.Items[at].Instances.Items = append(out.Items[at].Instances.Items, r.xmlInstance(i))
	}
	return out
}

// xmlInstance prints an instance. A terminated one has no network any more.
func (r *region) xmlInstance(i *instance) xmlInstance {
	cpu := i.machine.xml().VCPU
	x := xmlInstance{
		ID: i.id, Image: i.image.id, State: i.state.xml(), Key: i.key, Index: i.index, Type: i.machine.name,
		Launched: stamp(i.launched), Placement: xmlPlacement{i.zone, "", "default"}, Monitoring: "disabled",
		Architecture: i.machine.arch, RootDeviceType: "ebs", RootDeviceName: "/dev/xvda", Virtualization: "hvm",
		Token: i.token, Tags: r.xmlTags(i.id), Hypervisor: "xen", Ena: true, CPU: xmlCPU{cpu.Cores, cpu.Threads},
		Metadata: xmlMetadata{"applied", i.tokens, i.hops, i.imds, "disabled", "disabled"}, Platform: "Linux/UNIX",
	}
	if i.tagsInside {
		x.Metadata.Tags = "enabled"
	}
	if i.reason.Code != "" {
		x.StateReason = &i.reason
		x.Reason = i.reason.Message
		if i.reason.Code == "Client.UserInitiatedShutdown" {
			x.Reason = "User initiated (" + i.changed.UTC().Format("2006-01-02 15:04:05 MST") + ")"
		}
	}
	e, ok := r.enis.Get(i.eni)
	if !ok {
		return x
	}
	check := !e.noCheck
	x.PrivateName, x.PrivateIP, x.Subnet, x.VPC, x.Check = r.dnsName(e.ip), e.ip.String(), e.subnet, e.vpc, &check
	x.Groups = r.xmlGroupNames(e.groups)
	x.Interfaces.Items = []xmlENI{r.xmlENI(e, true)}
	x.Volumes.Items = []xmlMapping{{"/dev/xvda", xmlVolume{i.volume, "attached", stamp(i.launched), true}}}
	if e.public.IsValid() {
		x.PublicIP, x.PublicName = e.public.String(), r.publicName(e.vpc, e.public)
	}
	return x
}
