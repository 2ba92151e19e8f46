package aws

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// machine is an instance type.
type machine struct {
	name string
	vcpu int
	mib  int
	arch string
}

// machines are the instance types that are offered, in every zone. The sizes
// are AWS's.
func machines() []machine {
	return []machine{
		{"m1.small", 1, 1741, "x86_64"}, // what a launch that names none gets
		{"t2.micro", 1, 1024, "x86_64"}, {"t2.small", 1, 2048, "x86_64"}, {"t2.medium", 2, 4096, "x86_64"},
		{"t3.nano", 2, 512, "x86_64"}, {"t3.micro", 2, 1024, "x86_64"}, {"t3.small", 2, 2048, "x86_64"},
		{"t3.medium", 2, 4096, "x86_64"}, {"t3.large", 2, 8192, "x86_64"}, {"t3.xlarge", 4, 16384, "x86_64"},
		{"t3.2xlarge", 8, 32768, "x86_64"},
		{"t3a.nano", 2, 512, "x86_64"}, {"t3a.micro", 2, 1024, "x86_64"}, {"t3a.small", 2, 2048, "x86_64"},
		{"t3a.medium", 2, 4096, "x86_64"},
		{"t4g.micro", 2, 1024, "arm64"}, {"t4g.small", 2, 2048, "arm64"}, {"t4g.medium", 2, 4096, "arm64"},
		{"m5.large", 2, 8192, "x86_64"}, {"m5.xlarge", 4, 16384, "x86_64"}, {"m5.2xlarge", 8, 32768, "x86_64"},
		{"m6i.large", 2, 8192, "x86_64"}, {"m7g.large", 2, 8192, "arm64"},
		{"c5.large", 2, 4096, "x86_64"}, {"c5.xlarge", 4, 8192, "x86_64"}, {"c6i.large", 2, 4096, "x86_64"},
		{"r5.large", 2, 16384, "x86_64"}, {"r6i.large", 2, 16384, "x86_64"},
	}
}

// machineNamed returns an instance type.
func machineNamed(name string) (machine, bool) {
	all := machines()
	i := slices.IndexFunc(all, func(m machine) bool { return m.name == name })
	if i < 0 {
		return machine{}, false
	}
	return all[i], true
}

type xmlMachine struct {
	InstanceType      string         `xml:"instanceType"`
	CurrentGeneration bool           `xml:"currentGeneration"`
	FreeTier          bool           `xml:"freeTierEligible"`
	UsageClasses      set[string]    `xml:"supportedUsageClasses"`
	RootDevices       set[string]    `xml:"supportedRootDeviceTypes"`
	Virtualization    set[string]    `xml:"supportedVirtualizationTypes"`
	BareMetal         bool           `xml:"bareMetal"`
	Hypervisor        string         `xml:"hypervisor"`
	Processor         xmlProcessor   `xml:"processorInfo"`
	VCPU              xmlVCPU        `xml:"vCpuInfo"`
	Memory            xmlMemory      `xml:"memoryInfo"`
	InstanceStorage   bool           `xml:"instanceStorageSupported"`
	Network           xmlNetworkInfo `xml:"networkInfo"`
	Burstable         bool           `xml:"burstablePerformanceSupported"`
}

type xmlProcessor struct {
	Architectures set[string] `xml:"supportedArchitectures"`
	Clock         float64     `xml:"sustainedClockSpeedInGhz"`
}

type xmlVCPU struct {
	Default int `xml:"defaultVCpus"`
	Cores   int `xml:"defaultCores"`
	Threads int `xml:"defaultThreadsPerCore"`
}

type xmlMemory struct {
	MiB int `xml:"sizeInMiB"`
}

type xmlNetworkInfo struct {
	Performance string `xml:"networkPerformance"`
	Interfaces  int    `xml:"maximumNetworkInterfaces"`
	IPv4        int    `xml:"ipv4AddressesPerInterface"`
	IPv6        bool   `xml:"ipv6Supported"`
	Ena         string `xml:"enaSupport"`
}

// xml prints an instance type.
func (m machine) xml() xmlMachine {
	threads := 2
	if m.arch == "arm64" || m.vcpu == 1 {
		threads = 1
	}
	return xmlMachine{
		InstanceType: m.name, CurrentGeneration: !strings.HasPrefix(m.name, "t2.") && !strings.HasPrefix(m.name, "m1."),
		FreeTier:       m.name == "t2.micro" || m.name == "t3.micro",
		UsageClasses:   set[string]{[]string{"on-demand", "spot"}},
		RootDevices:    set[string]{[]string{"ebs"}},
		Virtualization: set[string]{[]string{"hvm"}},
		Hypervisor:     "nitro",
		Processor:      xmlProcessor{set[string]{[]string{m.arch}}, 2.5},
		VCPU:           xmlVCPU{m.vcpu, max(1, m.vcpu/threads), threads},
		Memory:         xmlMemory{m.mib},
		Network:        xmlNetworkInfo{"Up to 5 Gigabit", 3, 6, true, "required"},
		Burstable:      m.name[0] == 't',
	}
}

func describeInstanceTypes(c *call) (any, error) {
	var rows []machine
	wanted := c.q.list("InstanceType")
	for _, name := range wanted {
		if _, ok := machineNamed(name); !ok {
			return nil, fault(400, "InvalidInstanceType", "The following supplied instance types do not exist: [%s]", name)
		}
	}
	for _, m := range machines() {
		if len(wanted) > 0 && !slices.Contains(wanted, m.name) {
			continue
		}
		ok, err := match(c.q, nil, m.attrs)
		if err != nil {
			return nil, err
		}
		if ok {
			rows = append(rows, m)
		}
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Types set[xmlMachine] `xml:"instanceTypeSet"`
		Next  string          `xml:"nextToken,omitempty"`
	}{setOf(rows, machine.xml), next}, err
}

// attrs are the filters of DescribeInstanceTypes.
func (m machine) attrs(filter string) ([]string, bool) {
	x := m.xml()
	return fields(map[string][]string{
		"instance-type":                         {m.name},
		"current-generation":                    {yesNo(x.CurrentGeneration)},
		"free-tier-eligible":                    {yesNo(x.FreeTier)},
		"bare-metal":                            {"false"},
		"hypervisor":                            {x.Hypervisor},
		"burstable-performance-supported":       {yesNo(x.Burstable)},
		"processor-info.supported-architecture": {m.arch},
		"supported-virtualization-type":         {"hvm"},
		"supported-root-device-type":            {"ebs"},
		"supported-usage-class":                 x.UsageClasses.Items,
		"instance-storage-supported":            {"false"},
		"vcpu-info.default-vcpus":               {itoa(m.vcpu)},
		"memory-info.size-in-mib":               {itoa(m.mib)},
	})(filter)
}

type xmlOffering struct {
	InstanceType string `xml:"instanceType"`
	LocationType string `xml:"locationType"`
	Location     string `xml:"location"`
}

func describeInstanceTypeOfferings(c *call) (any, error) {
	kind := cmp.Or(c.q.str("LocationType"), "region")
	var places []string
	switch kind {
	case "region":
		places = []string{c.r.name}
	case "availability-zone":
		places = c.r.zones
	case "availability-zone-id":
		for _, z := range c.r.zones {
			places = append(places, zoneID(c.r.name, z))
		}
	default:
		return nil, invalid("LocationType", kind)
	}
	var rows []xmlOffering
	for _, place := range places {
		for _, m := range machines() {
			ok, err := match(c.q, nil, fields(map[string][]string{"instance-type": {m.name}, "location": {place}}))
			if err != nil {
				return nil, err
			}
			if ok {
				rows = append(rows, xmlOffering{m.name, kind, place})
			}
		}
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Offerings set[xmlOffering] `xml:"instanceTypeOfferingSet"`
		Next      string           `xml:"nextToken,omitempty"`
	}{set[xmlOffering]{rows}, next}, err
}

// image is an Amazon machine image.
type image struct {
	id, name, owner, alias, arch, created, description string
}

// Owners of the images, as in the real catalog.
const (
	debianOwner = "136693071363"
	ubuntuOwner = "099720109477"
	amazonOwner = "137112412989"
)

// images are the images of a region: two builds of each, so that a client has
// to choose the newer. An id is the same at every start.
func (r *region) images() []image {
	base := []image{
		{name: "debian-12-amd64-20250814-2204", owner: debianOwner, arch: "x86_64", created: "2025-08-14T06:31:11.000Z", description: "Debian 12 (20250814-2204)"},
		{name: "debian-12-amd64-20251112-2294", owner: debianOwner, arch: "x86_64", created: "2025-11-12T07:02:54.000Z", description: "Debian 12 (20251112-2294)"},
		{name: "debian-12-arm64-20251112-2294", owner: debianOwner, arch: "arm64", created: "2025-11-12T07:03:20.000Z", description: "Debian 12 (20251112-2294)"},
		{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250821", owner: ubuntuOwner, arch: "x86_64", created: "2025-08-21T09:10:03.000Z", description: "Canonical, Ubuntu, 24.04, amd64 noble image"},
		{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20251022", owner: ubuntuOwner, arch: "x86_64", created: "2025-10-22T08:41:47.000Z", description: "Canonical, Ubuntu, 24.04, amd64 noble image"},
		{name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-20251022", owner: ubuntuOwner, arch: "arm64", created: "2025-10-22T08:42:12.000Z", description: "Canonical, Ubuntu, 24.04, arm64 noble image"},
		{name: "al2023-ami-2023.9.20251110.1-kernel-6.1-x86_64", owner: amazonOwner, alias: "amazon", arch: "x86_64", created: "2025-11-10T19:21:37.000Z", description: "Amazon Linux 2023 AMI"},
	}
	for i, img := range base {
		sum := sha256.Sum256([]byte(r.name + "/" + img.name))
		base[i].id = "ami-" + hex.EncodeToString(sum[:])[:17]
	}
	return base
}

// image returns an image of the region.
func (r *region) image(id string) (image, error) {
	for _, img := range r.images() {
		if img.id == id {
			return img, nil
		}
	}
	if !wellFormed(id, "ami-") {
		return image{}, fault(400, "InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", id)
	}
	return image{}, fault(400, "InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

type xmlImage struct {
	ImageID        string `xml:"imageId"`
	Location       string `xml:"imageLocation"`
	State          string `xml:"imageState"`
	OwnerID        string `xml:"imageOwnerId"`
	CreationDate   string `xml:"creationDate"`
	Public         bool   `xml:"isPublic"`
	Architecture   string `xml:"architecture"`
	ImageType      string `xml:"imageType"`
	OwnerAlias     string `xml:"imageOwnerAlias,omitempty"`
	Name           string `xml:"name"`
	Description    string `xml:"description"`
	RootDeviceType string `xml:"rootDeviceType"`
	RootDeviceName string `xml:"rootDeviceName"`
	Virtualization string `xml:"virtualizationType"`
	Hypervisor     string `xml:"hypervisor"`
	Ena            bool   `xml:"enaSupport"`
	Platform       string `xml:"platformDetails"`
	BootMode       string `xml:"bootMode"`
}

// xml prints an image.
func (i image) xml() xmlImage {
	return xmlImage{
		ImageID: i.id, Location: cmp.Or(i.alias, i.owner) + "/" + i.name, State: "available", OwnerID: i.owner,
		CreationDate: i.created, Public: true, Architecture: i.arch, ImageType: "machine", OwnerAlias: i.alias,
		Name: i.name, Description: i.description, RootDeviceType: "ebs", RootDeviceName: "/dev/xvda",
		Virtualization: "hvm", Hypervisor: "xen", Ena: true, Platform: "Linux/UNIX", BootMode: "uefi-preferred",
	}
}

// attrs are the filters of DescribeImages.
func (i image) attrs(filter string) ([]string, bool) {
	return fields(map[string][]string{
		"architecture": {i.arch}, "creation-date": {i.created}, "description": {i.description},
		"hypervisor": {"xen"}, "image-id": {i.id}, "image-type": {"machine"}, "is-public": {"true"},
		"name": {i.name}, "owner-id": {i.owner}, "owner-alias": {i.alias}, "root-device-type": {"ebs"},
		"state": {"available"}, "virtualization-type": {"hvm"}, "ena-support": {"true"}, "platform-details": {"Linux/UNIX"},
	})(filter)
}

func describeImages(c *call) (any, error) {
	ids, owners := c.q.list("ImageId"), c.q.list("Owner")
	for _, id := range ids {
		if _, err := c.r.image(id); err != nil {
			return nil, err
		}
	}
	var rows []image
	for _, img := range c.r.images() {
		if len(ids) > 0 && !slices.Contains(ids, img.id) {
			continue
		}
		if len(owners) > 0 && !slices.Contains(owners, img.owner) && (img.alias == "" || !slices.Contains(owners, img.alias)) {
			continue
		}
		ok, err := match(c.q, nil, img.attrs)
		if err != nil {
			return nil, err
		}
		if ok {
			rows = append(rows, img)
		}
	}
	rows, next, err := page(c.q, rows)
	return struct {
		Images set[xmlImage] `xml:"imagesSet"`
		Next   string        `xml:"nextToken,omitempty"`
	}{setOf(rows, image.xml), next}, err
}
