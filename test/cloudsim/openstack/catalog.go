package openstack

import (
	"slices"
	"strconv"
)

// flavor is a kind of machine.
type flavor struct {
	id, name        string
	vcpu, ram, disk int // count, MiB, GiB
}

// flavors are those that every installation used to come with, and a small one.
func flavors() []flavor {
	return []flavor{
		{"42", "m1.nano", 1, 128, 1}, {"1", "m1.tiny", 1, 512, 1}, {"2", "m1.small", 1, 2048, 20},
		{"3", "m1.medium", 2, 4096, 40}, {"4", "m1.large", 4, 8192, 80}, {"5", "m1.xlarge", 8, 16384, 160},
	}
}

// flavorOf returns the flavor of an id.
func flavorOf(id string) (flavor, error) {
	all := flavors()
	i := slices.IndexFunc(all, func(f flavor) bool { return f.id == id })
	if i < 0 {
		return flavor{}, fault(404, "Flavor %s could not be found.", id)
	}
	return all[i], nil
}

// links prints where an object of Nova is.
func (c *Cloud) links(collection, id string) []link {
	return []link{{"self", c.opts.URL + "/compute/v2.1/" + collection + "/" + id}, {"bookmark", c.opts.URL + "/compute/" + collection + "/" + id}}
}

// doc prints a flavor.
func (f flavor) doc(c *call, detail bool) map[string]any {
	d := map[string]any{"id": f.id, "name": f.name, "links": c.links("flavors", f.id)}
	if c.micro.atLeast(55) {
		d["description"] = nil
	}
	if !detail {
		return d
	}
	d["ram"], d["vcpus"], d["disk"], d["swap"] = f.ram, f.vcpu, f.disk, ""
	d["rxtx_factor"], d["os-flavor-access:is_public"], d["OS-FLV-EXT-DATA:ephemeral"], d["OS-FLV-DISABLED:disabled"] = 1.0, true, 0, false
	if c.micro.atLeast(61) {
		d["extra_specs"] = map[string]string{}
	}
	if c.micro.atLeast(75) {
		d["swap"] = 0
	}
	return d
}

// listFlavorRows prints the flavors that a query selects.
func (c *call) listFlavorRows(detail bool) (answer, error) {
	query := c.req.URL.Query()
	rows := []map[string]any{}
	past := query.Get("marker") == ""
	for _, f := range flavors() {
		if !past {
			past = f.id == query.Get("marker")
			continue
		}
		minRAM, _ := strconv.Atoi(query.Get("minRam"))
		minDisk, _ := strconv.Atoi(query.Get("minDisk"))
		if f.ram < minRAM || f.disk < minDisk {
			continue
		}
		if limit, err := strconv.Atoi(query.Get("limit")); err == nil && limit > 0 && len(rows) == limit {
			break
		}
		rows = append(rows, f.doc(c, detail))
	}
	return answer{status: 200, body: map[string]any{"flavors": rows}}, nil
}

func listFlavors(c *call) (answer, error)       { return c.listFlavorRows(false) }
func listFlavorsDetail(c *call) (answer, error) { return c.listFlavorRows(true) }

func showFlavor(c *call) (answer, error) {
	f, err := flavorOf(c.id())
	if err != nil {
		return answer{}, err
	}
	return show(200, "flavor", f.doc(c, true))
}

func showFlavorSpecs(c *call) (answer, error) {
	if _, err := flavorOf(c.id()); err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: map[string]any{"extra_specs": map[string]string{}}}, nil
}

// image is a bootable image.
type image struct {
	id, name, distro, version, created string
}

// images are the images that the operator has put there: two builds of one
// name, as operators leave them, so that a client has to choose the newer.
func images() []image {
	return []image{
		{"3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a01", "debian-12", "debian", "12", "2025-08-14T06:31:11Z"},
		{"3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a02", "debian-12", "debian", "12", "2025-11-12T07:02:54Z"},
		{"3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a03", "ubuntu-24.04", "ubuntu", "24.04", "2025-10-22T08:41:47Z"},
		{"3f1c6f7e-5f0a-4f5e-9f44-0c6d1d8f1a04", "cirros-0.6.2", "cirros", "0.6.2", "2023-05-30T10:00:00Z"},
	}
}

// imageOf returns the image of an id.
func imageOf(id string) (image, bool) {
	all := images()
	i := slices.IndexFunc(all, func(m image) bool { return m.id == id })
	if i < 0 {
		return image{}, false
	}
	return all[i], true
}

// doc prints an image as Glance does.
func (m image) doc() map[string]any {
	return map[string]any{
		"id": m.id, "name": m.name, "os_distro": m.distro, "os_version": m.version, "status": "active", "visibility": "public",
		"container_format": "bare", "disk_format": "qcow2", "min_disk": 0, "min_ram": 0, "size": 346161152, "virtual_size": 2147483648,
		"checksum": "d41d8cd98f00b204e9800998ecf8427e", "owner": "0123456789abcdef0123456789abcdef", "protected": false, "os_hidden": false,
		"created_at": m.created, "updated_at": m.created, "tags": []string{}, "architecture": "x86_64",
		"file": "/v2/images/" + m.id + "/file", "self": "/v2/images/" + m.id, "schema": "/v2/schemas/image",
	}
}

func listImages(c *call) (answer, error) {
	query := c.req.URL.Query()
	rows := []map[string]any{}
	for _, m := range images() {
		d := m.doc()
		keep := true
		for _, name := range []string{"name", "status", "visibility", "id", "os_distro", "os_version", "disk_format", "container_format", "owner"} {
			keep = keep && (query.Get(name) == "" || query.Get(name) == d[name])
		}
		if keep {
			rows = append(rows, d)
		}
	}
	slices.SortStableFunc(rows, func(a, b map[string]any) int { // newest first, as Glance does
		return -compareText(a["created_at"], b["created_at"])
	})
	rows, next, err := cut(rows, query)
	if err != nil {
		return answer{}, fault(400, "Invalid marker or limit")
	}
	body := map[string]any{"images": rows, "first": "/v2/images", "schema": "/v2/schemas/images"}
	if next != "" {
		query.Set("marker", next)
		body["next"] = "/v2/images?" + query.Encode()
	}
	return answer{status: 200, body: body}, nil
}

// compareText orders two texts of a document.
func compareText(a, b any) int {
	x, _ := a.(string)
	y, _ := b.(string)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	default:
		return 0
	}
}

func showImage(c *call) (answer, error) {
	m, ok := imageOf(c.id())
	if !ok {
		return answer{}, fault(404, "No image found with ID %s", c.id())
	}
	return answer{status: 200, body: m.doc()}, nil
}
