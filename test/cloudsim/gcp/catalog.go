package gcp

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
)

//go:embed machines.txt
var machineTable string

// machineType is a size of machines, in one zone.
type machineType struct {
	name   string
	vcpu   int
	mib    int
	shared bool
	arch   string
	zone   string
}

// machineTypes lists what a zone offers.
func (c *Cloud) machineTypes(zone string) []machineType {
	rank := 0 // of the zone in its region
	for _, r := range c.regions {
		if i := slices.Index(r.zones, zone); i >= 0 {
			rank = i
		}
	}
	var all []machineType
	for line := range strings.Lines(machineTable) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		if zones, err := strconv.Atoi(f[4]); err == nil && rank >= zones {
			continue
		}
		m := machineType{name: f[0], shared: f[3] == "S", arch: "X86_64", zone: zone}
		m.vcpu, _ = strconv.Atoi(f[1]) // the table is ours
		m.mib, _ = strconv.Atoi(f[2])
		if f[3] == "A" {
			m.arch = "ARM64"
		}
		all = append(all, m)
	}
	return all
}

// machineNamed returns a machine type of a zone.
func (c *Cloud) machineNamed(zone, name string) (machineType, bool) {
	all := c.machineTypes(zone)
	i := slices.IndexFunc(all, func(m machineType) bool { return m.name == name })
	if i < 0 {
		return machineType{}, false
	}
	return all[i], true
}

// family is the part of a machine type's name that says the hardware.
func (m machineType) family() string {
	f, _, _ := strings.Cut(m.name, "-")
	return f
}

type machineTypeDoc struct {
	Kind         string `json:"kind"`
	ID           uint64 `json:"id,string"`
	Created      string `json:"creationTimestamp"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	CPUs         int    `json:"guestCpus"`
	MemoryMB     int    `json:"memoryMb"`
	ImageSpace   int    `json:"imageSpaceGb"`
	MaxDisks     int    `json:"maximumPersistentDisks"`
	MaxDisksSize int64  `json:"maximumPersistentDisksSizeGb,string"`
	Zone         string `json:"zone"` // a name, not a link
	Shared       bool   `json:"isSharedCpu"`
	Architecture string `json:"architecture"`
	SelfLink     string `json:"selfLink"`
}

func (p *project) machineTypeDoc(m machineType) machineTypeDoc {
	return machineTypeDoc{
		Kind: "compute#machineType", ID: stableID(m.name), Created: catalogDate, Name: m.name,
		Description: itoa(m.vcpu) + " vCPU, " + itoa(m.mib) + " MB RAM", CPUs: m.vcpu, MemoryMB: m.mib, MaxDisks: 16, MaxDisksSize: 3072,
		Zone: m.zone, Shared: m.shared, Architecture: m.arch, SelfLink: p.link("zones/" + m.zone + "/machineTypes/" + m.name),
	}
}

func listMachineTypes(c *call) (any, error) {
	return listOf(c, "compute#machineTypeList", c.scope()+"/machineTypes", c.machineTypes(c.path("zone")), c.p.machineTypeDoc)
}

func aggregateMachineTypes(c *call) (any, error) {
	var rows []machineType
	for _, z := range c.zoneNames() {
		rows = append(rows, c.machineTypes(z)...)
	}
	return aggregate(c, "compute#machineTypeAggregatedList", "machineTypes", "machineTypes", rows,
		func(m machineType) string { return "zones/" + m.zone }, c.p.machineTypeDoc)
}

func getMachineType(c *call) (any, error) {
	m, ok := c.machineNamed(c.path("zone"), c.path("machineType"))
	if !ok {
		return nil, notFound(c.p.resource(c.scope() + "/machineTypes/" + c.path("machineType")))
	}
	return c.p.machineTypeDoc(m), nil
}

// image is a public image.
type image struct {
	project, name, family, arch, created, description string
	deprecated                                        bool
}

// images are the public images: several builds of each, the older ones
// deprecated, as Google keeps them.
func images() []image {
	return []image{
		{"debian-cloud", "debian-12-bookworm-v20251014", "debian-12", "X86_64", "2025-10-14T14:21:09.310-07:00", "Debian, Debian GNU/Linux, 12 (bookworm), amd64 built on 20251014", true},
		{"debian-cloud", "debian-12-bookworm-v20251111", "debian-12", "X86_64", "2025-11-11T14:20:55.104-08:00", "Debian, Debian GNU/Linux, 12 (bookworm), amd64 built on 20251111", false},
		{"debian-cloud", "debian-12-bookworm-arm64-v20251111", "debian-12-arm64", "ARM64", "2025-11-11T14:20:57.880-08:00", "Debian, Debian GNU/Linux, 12 (bookworm), arm64 built on 20251111", false},
		{"debian-cloud", "debian-13-trixie-v20251111", "debian-13", "X86_64", "2025-11-11T14:21:02.011-08:00", "Debian, Debian GNU/Linux, 13 (trixie), amd64 built on 20251111", false},
		{"ubuntu-os-cloud", "ubuntu-2404-noble-amd64-v20251014", "ubuntu-2404-lts-amd64", "X86_64", "2025-10-14T06:02:41.733-07:00", "Canonical, Ubuntu, 24.04 LTS, amd64 noble image built on 2025-10-14", true},
		{"ubuntu-os-cloud", "ubuntu-2404-noble-amd64-v20251112", "ubuntu-2404-lts-amd64", "X86_64", "2025-11-12T05:58:13.402-08:00", "Canonical, Ubuntu, 24.04 LTS, amd64 noble image built on 2025-11-12", false},
		{"ubuntu-os-cloud", "ubuntu-2404-noble-arm64-v20251112", "ubuntu-2404-lts-arm64", "ARM64", "2025-11-12T05:59:20.118-08:00", "Canonical, Ubuntu, 24.04 LTS, arm64 noble image built on 2025-11-12", false},
		{"ubuntu-os-cloud", "ubuntu-2204-jammy-v20251112", "ubuntu-2204-lts", "X86_64", "2025-11-12T06:01:07.551-08:00", "Canonical, Ubuntu, 22.04 LTS, amd64 jammy image built on 2025-11-12", false},
	}
}

func imagesOf(project string) []image {
	return slices.DeleteFunc(images(), func(i image) bool { return i.project != project })
}

// family returns the newest image of a family that is not deprecated.
func imageOfFamily(project, family string) (image, bool) {
	var best image
	for _, i := range imagesOf(project) {
		if i.family == family && !i.deprecated && i.created > best.created {
			best = i
		}
	}
	return best, best.name != ""
}

// imageOf finds the image that a field refers to: by name, by family, or by the
// view that a zone has of a family.
func (c *call) imageOf(field, ref string) (image, error) {
	id, path, ok := c.p.parseRef(ref)
	isFamily := strings.HasPrefix(path, "global/images/family/") || strings.Contains(path, "/imageFamilyViews/")
	if !ok || !isFamily && !strings.HasPrefix(path, "global/images/") {
		return image{}, invalid(field, ref, "The URL is malformed.")
	}
	if isFamily {
		img, ok := imageOfFamily(id, base(path))
		if !ok {
			return image{}, notFound("projects/" + id + "/" + path)
		}
		return img, nil
	}
	all := imagesOf(id)
	i := slices.IndexFunc(all, func(i image) bool { return i.name == base(path) })
	if i < 0 {
		return image{}, notFound("projects/" + id + "/" + path)
	}
	return all[i], nil
}

type imageDoc struct {
	Kind         string            `json:"kind"`
	ID           uint64            `json:"id,string"`
	Created      string            `json:"creationTimestamp"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Family       string            `json:"family"`
	Architecture string            `json:"architecture"`
	SourceType   string            `json:"sourceType"`
	Status       string            `json:"status"`
	DiskSize     int64             `json:"diskSizeGb,string"`
	ArchiveSize  int64             `json:"archiveSizeBytes,string"`
	Locations    []string          `json:"storageLocations"`
	Deprecated   *deprecation      `json:"deprecated,omitempty"`
	Features     []guestOSFeature  `json:"guestOsFeatures"`
	RawDisk      map[string]string `json:"rawDisk"`
	SelfLink     string            `json:"selfLink"`
}

type deprecation struct {
	State       string `json:"state"`
	Replacement string `json:"replacement"`
}

type guestOSFeature struct {
	Type string `json:"type"`
}

// link is the image's URL.
func (i image) link() string { return linkBase + "projects/" + i.project + "/global/images/" + i.name }

func (i image) doc() imageDoc {
	d := imageDoc{
		Kind: "compute#image", ID: stableID(i.name), Created: i.created, Name: i.name, Description: i.description, Family: i.family,
		Architecture: i.arch, SourceType: "RAW", Status: "READY", DiskSize: diskGB, ArchiveSize: 1 << 30, Locations: []string{"asia", "eu", "us"},
		Features: []guestOSFeature{{"UEFI_COMPATIBLE"}, {"VIRTIO_SCSI_MULTIQUEUE"}, {"GVNIC"}},
		RawDisk:  map[string]string{"source": "", "containerType": "TAR"}, SelfLink: i.link(),
	}
	if newest, ok := imageOfFamily(i.project, i.family); ok && i.deprecated {
		d.Deprecated = &deprecation{"DEPRECATED", newest.link()}
	}
	return d
}

func listImages(c *call) (any, error) {
	return listOf(c, "compute#imageList", "global/images", imagesOf(c.p.id), image.doc)
}

func getImage(c *call) (any, error) {
	img, err := c.imageOf("image", "global/images/"+c.path("image"))
	if err != nil {
		return nil, err
	}
	return img.doc(), nil
}

func getImageFromFamily(c *call) (any, error) {
	img, ok := imageOfFamily(c.p.id, c.path("family"))
	if !ok {
		return nil, notFound(c.p.resource("global/images/family/" + c.path("family")))
	}
	return img.doc(), nil
}
