package alibaba

import (
	"slices"
	"strings"
	"time"
)

// machine is an instance type.
type machine struct {
	name string
	vcpu int
	gib  float64
	arm  bool
}

// machines are the instance types: the small ones of common families, by
// https://www.alibabacloud.com/help/en/ecs/user-guide/overview-of-instance-families.
func machines() []machine {
	out := []machine{
		{"ecs.t6-c4m1.large", 2, 0.5, false}, {"ecs.t6-c2m1.large", 2, 1, false}, {"ecs.t6-c1m1.large", 2, 2, false},
		{"ecs.t6-c1m2.large", 2, 4, false}, {"ecs.t6-c1m4.large", 2, 8, false}, {"ecs.t6-c1m4.xlarge", 4, 16, false},
		{"ecs.e-c1m1.large", 2, 2, false}, {"ecs.e-c1m2.large", 2, 4, false}, {"ecs.e-c1m4.large", 2, 8, false},
		{"ecs.e-c1m2.xlarge", 4, 8, false}, {"ecs.e-c1m4.xlarge", 4, 16, false},
		{"ecs.u1-c1m1.large", 2, 2, false}, {"ecs.u1-c1m2.large", 2, 4, false}, {"ecs.u1-c1m4.large", 2, 8, false},
		{"ecs.u1-c1m2.xlarge", 4, 8, false}, {"ecs.u1-c1m4.xlarge", 4, 16, false},
	}
	for _, generation := range []string{"6", "7"} {
		for i, size := range []string{"large", "xlarge", "2xlarge", "4xlarge"} {
			for family, ratio := range map[string]int{"c": 2, "g": 4, "r": 8} {
				vcpu := 2 << i
				out = append(out, machine{"ecs." + family + generation + "." + size, vcpu, float64(vcpu * ratio), false})
			}
		}
	}
	out = append(out, machine{"ecs.g8y.large", 2, 8, true}, machine{"ecs.c8y.large", 2, 4, true})
	slices.SortFunc(out, func(a, b machine) int { return compareText(a.name, b.name) })
	return out
}

func machineNamed(name string) (machine, bool) {
	all := machines()
	i := slices.IndexFunc(all, func(m machine) bool { return m.name == name })
	if i < 0 {
		return machine{}, false
	}
	return all[i], true
}

// sells reports whether a zone sells a type: a region's first zone is an old
// one, which has the shared families only.
func (r *region) sells(zone string, m machine) bool {
	return len(r.zones) == 1 || zone != r.zones[0] || strings.HasPrefix(m.name, "ecs.t6") || strings.HasPrefix(m.name, "ecs.e-")
}

// image is a public image.
type image struct {
	id, arch, platform string
	created            time.Time
}

// images are the system images, among them such as are no plain Debian or
// Ubuntu. The id of a system image is its name, in all regions.
func images() []image {
	var out []image
	for _, i := range []struct{ id, arch, platform string }{
		{"aliyun_3_x64_20G_alibase_20250117.vhd", "x86_64", "Aliyun"},
		{"debian_11_11_x64_20G_alibase_20250117.vhd", "x86_64", "Debian"},
		{"debian_12_6_x64_20G_alibase_20240711.vhd", "x86_64", "Debian"},
		{"debian_12_9_x64_20G_alibase_20250117.vhd", "x86_64", "Debian"},
		{"debian_12_9_arm64_20G_alibase_20250117.vhd", "arm64", "Debian"},
		{"ubuntu_22_04_x64_20G_alibase_20250113.vhd", "x86_64", "Ubuntu"},
		{"ubuntu_22_04_arm64_20G_alibase_20250113.vhd", "arm64", "Ubuntu"},
		{"ubuntu_24_04_x64_20G_alibase_20250113.vhd", "x86_64", "Ubuntu"},
		{"ubuntu_24_04_x64_20G_with_gpu_driver_alibase_20250201.vhd", "x86_64", "Ubuntu"},
	} {
		stamp := strings.TrimSuffix(i.id[strings.LastIndex(i.id, "_")+1:], ".vhd")
		created, err := time.Parse("20060102", stamp)
		if err != nil {
			panic(err) // the table above
		}
		out = append(out, image{i.id, i.arch, i.platform, created})
	}
	return out
}

func imageNamed(id string) (image, bool) {
	all := images()
	i := slices.IndexFunc(all, func(m image) bool { return m.id == id })
	if i < 0 {
		return image{}, false
	}
	return all[i], true
}

func describeRegions(c *call) (obj, error) {
	list := []obj{}
	for _, p := range places() {
		list = append(list, obj{"RegionId": p.region, "LocalName": p.name, "RegionEndpoint": "ecs." + p.region + ".aliyuncs.com", "Status": "available"})
	}
	return obj{"Regions": obj{"Region": list}}, nil
}

func describeZones(c *call) (obj, error) {
	list := []obj{}
	for _, z := range c.r.zones {
		var types []string
		for _, m := range machines() {
			if c.r.sells(z, m) {
				types = append(types, m.name)
			}
		}
		list = append(list, obj{
			"ZoneId": z, "LocalName": z, "ZoneType": "AvailabilityZone",
			"AvailableResourceCreation": obj{"ResourceTypes": []string{"VSwitch", "IoOptimized", "Instance", "Disk"}},
			"AvailableInstanceTypes":    obj{"InstanceTypes": types},
		})
	}
	return obj{"Zones": obj{"Zone": list}}, nil
}

func describeAvailableResource(c *call) (obj, error) {
	if d := c.q.str("DestinationResource"); d != "InstanceType" {
		return nil, fault(400, "UnsupportedParameter", "DestinationResource %.40q is not simulated.", d)
	}
	list := []obj{}
	for _, z := range c.r.zones {
		if want := c.q.str("ZoneId"); want != "" && want != z {
			continue
		}
		status, category := "Available", "WithStock"
		if c.opts.Faults.NoCapacity(Name, c.r.region, z) {
			status, category = "SoldOut", "WithoutStock"
		}
		types := []obj{}
		for _, m := range machines() {
			if want := c.q.str("InstanceType"); c.r.sells(z, m) && (want == "" || want == m.name) {
				types = append(types, obj{"Value": m.name, "Status": status, "StatusCategory": category})
			}
		}
		list = append(list, obj{
			"RegionId": c.r.region, "ZoneId": z, "Status": status, "StatusCategory": category,
			"AvailableResources": obj{"AvailableResource": []obj{{"Type": "InstanceType", "SupportedResources": obj{"SupportedResource": types}}}},
		})
	}
	return obj{"AvailableZones": obj{"AvailableZone": list}}, nil
}

func describeInstanceTypes(c *call) (obj, error) {
	want := c.q.list("InstanceTypes")
	rows := slices.DeleteFunc(machines(), func(m machine) bool {
		arch := c.q.str("CpuArchitecture")
		return len(want) > 0 && !slices.Contains(want, m.name) || arch == "X86" && m.arm || arch == "ARM" && !m.arm
	})
	// The real pages have up to 1600 entries; shorter ones let clients show that
	// they turn them.
	rows, out, err := following(c.q, rows, func(m machine) string { return m.name }, 100)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, m := range rows {
		arch := "X86"
		if m.arm {
			arch = "ARM"
		}
		list = append(list, obj{
			"InstanceTypeId": m.name, "InstanceTypeFamily": m.name[:strings.LastIndex(m.name, ".")], "CpuCoreCount": m.vcpu,
			"MemorySize": m.gib, "CpuArchitecture": arch, "GPUAmount": 0, "InstanceCategory": "General-purpose",
		})
	}
	out["InstanceTypes"] = obj{"InstanceType": list}
	return out, nil
}

func describeImages(c *call) (obj, error) {
	is := func(param, value string) bool { return c.q.str(param) == "" || c.q.str(param) == value }
	rows := slices.DeleteFunc(images(), func(i image) bool {
		ids := c.q.str("ImageId")
		return !is("ImageOwnerAlias", "system") || !is("OSType", "linux") || !is("Architecture", i.arch) || !is("Status", "Available") ||
			!matchName(c.q.str("ImageName"), i.id) || ids != "" && !slices.Contains(strings.Split(ids, ","), i.id)
	})
	rows, out, err := page(c.q, rows, 100, 10)
	if err != nil {
		return nil, err
	}
	list := []obj{}
	for _, i := range rows {
		list = append(list, obj{
			"ImageId": i.id, "ImageName": i.id, "OSType": "linux", "Architecture": i.arch, "Platform": i.platform, "Status": "Available",
			"ImageOwnerAlias": "system", "CreationTime": second(i.created), "IsSupportCloudinit": true, "Size": 20,
		})
	}
	out["RegionId"], out["Images"] = c.r.region, obj{"Image": list}
	return out, nil
}

// maxVCPUs is the account's limit unless a fault says otherwise.
const maxVCPUs = 500

func (c *call) vcpuLimit() int {
	if n, ok := c.opts.Faults.Quota(Name, c.r.region, "vcpu"); ok {
		return n
	}
	return maxVCPUs
}

func (c *call) vcpusUsed() int {
	n := 0
	for _, i := range c.r.instances.All() {
		n += i.machine.vcpu
	}
	return n
}

func describeAccountAttributes(c *call) (obj, error) {
	values := map[string]int{
		"max-postpaid-instance-vcpu-count": c.vcpuLimit(), "used-postpaid-instance-vcpu-count": c.vcpusUsed(), "max-security-groups": 100,
	}
	want := c.q.list("AttributeName")
	list := []obj{}
	for _, n := range sortedKeys(values) {
		if len(want) == 0 || slices.Contains(want, n) {
			list = append(list, obj{"AttributeName": n, "AttributeValues": obj{"ValueItem": []obj{{"Value": itoa(values[n])}}}})
		}
	}
	return obj{"AccountAttributeItems": obj{"AccountAttributeItem": list}}, nil
}
