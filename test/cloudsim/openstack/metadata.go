package openstack

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// metadataVersions are the versions of the metadata service.
func metadataVersions() []string {
	return []string{
		"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14", "latest",
	}
}

// hostname returns the host name that Nova makes of a server's name.
func hostname(name string) string {
	h := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == ' ' || r == '_':
			return '-'
		default:
			return -1
		}
	}, name)
	h = strings.Trim(h, ".-")
	if len(h) > 63 {
		h = strings.Trim(h[:63], ".-")
	}
	if h == "" {
		return "server"
	}
	return h
}

// metadata returns the metadata service of one server: OpenStack's own tree and
// the one that is like EC2's.
func (c *Cloud) metadata(id string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c.mu.Lock()
		s, ok := c.servers.Get(id)
		var tree map[string]string
		if ok {
			tree = c.metadataTree(s)
		}
		c.mu.Unlock()
		switch {
		case !ok:
			http.Error(w, "404 Not Found", http.StatusNotFound)
		case req.Method != http.MethodGet && req.Method != http.MethodHead:
			http.Error(w, "405 Method Not Allowed", http.StatusMethodNotAllowed)
		default:
			answerPath(w, tree, strings.Trim(req.URL.Path, "/"))
		}
	})
}

// answerPath writes what the tree has at a path: a value, or the names below.
func answerPath(w http.ResponseWriter, tree map[string]string, path string) {
	path = plainPath(path)
	if v, ok := tree[path]; ok {
		if strings.HasSuffix(path, ".json") {
			w.Header().Set("Content-Type", "application/json")
		}
		_, _ = w.Write([]byte(v)) // the guest may be gone
		return
	}
	if path == "" {
		_, _ = w.Write([]byte("1.0\n2009-04-04\nlatest"))
		return
	}
	if path == "openstack" {
		_, _ = w.Write([]byte(strings.Join(metadataVersions(), "\n")))
		return
	}
	var names []string
	for key := range tree {
		below, ok := strings.CutPrefix(key, path+"/")
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(below, "/")
		if deeper {
			name += "/"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	slices.Sort(names)
	_, _ = w.Write([]byte(strings.Join(slices.Compact(names), "\n")))
}

// plainPath puts "latest" in the place of a path's version.
func plainPath(path string) string {
	parts := strings.Split(path, "/")
	switch {
	case len(parts) > 1 && parts[0] == "openstack" && slices.Contains(metadataVersions(), parts[1]):
		parts[1] = "latest"
	case parts[0] == "2009-04-04" || parts[0] == "1.0":
		parts[0] = "latest"
	}
	return strings.Join(parts, "/")
}

// metadataTree is everything a server may read about itself, by path.
func (c *Cloud) metadataTree(s *server) map[string]string {
	const own, ec2 = "openstack/latest/", "latest/meta-data/"
	host := hostname(s.name) + ".novalocal"
	keys, public := []map[string]string{}, map[string]string{}
	tree := map[string]string{
		own + "vendor_data.json": "{}", own + "vendor_data2.json": `{"static": {}}`, own + "network_data.json": c.networkData(s),
		ec2 + "instance-id": "i-" + strings.ReplaceAll(s.id, "-", "")[:8], ec2 + "instance-type": s.flavor.name, ec2 + "hostname": host,
		ec2 + "local-hostname": host, ec2 + "ami-id": "ami-" + s.image.id[:8], ec2 + "ami-launch-index": "0", ec2 + "instance-action": "none",
		ec2 + "placement/availability-zone": Zone, ec2 + "reservation-id": "r-" + s.id[:8], ec2 + "public-hostname": host,
	}
	if k, ok := c.keys.Get(s.key); ok {
		keys = append(keys, map[string]string{"name": k.name, "type": "ssh", "data": k.public})
		public[k.name] = k.public
		tree[ec2+"public-keys/0/openssh-key"] = k.public
	}
	meta := map[string]any{
		"uuid": s.id, "name": s.name, "hostname": host, "launch_index": 0, "availability_zone": Zone, "project_id": c.project,
		"meta": s.metadata, "public_keys": public, "keys": keys, "devices": []any{}, "dedicated_cpus": []int{},
		"random_seed": base64.StdEncoding.EncodeToString([]byte(strings.Repeat(s.id, 14))),
	}
	out, _ := json.Marshal(meta) // cannot fail: strings and numbers only
	tree[own+"meta_data.json"] = string(out)
	if raw, err := base64.StdEncoding.DecodeString(s.userData); err == nil && len(raw) > 0 {
		tree[own+"user_data"], tree["latest/user-data"] = string(raw), string(raw)
	}
	for _, id := range s.ports {
		p, ok := c.ports.Get(id)
		if !ok {
			continue
		}
		tree[ec2+"local-ipv4"], tree[ec2+"public-ipv4"] = p.ip.String(), ""
		for _, f := range c.floating.All() {
			if f.port == p.id {
				tree[ec2+"public-ipv4"] = f.ip.String()
			}
		}
	}
	return tree
}

// networkData prints how a server's port is set up.
func (c *Cloud) networkData(s *server) string {
	links, networks, services := []any{}, []any{}, []any{}
	for _, id := range s.ports {
		p, ok := c.ports.Get(id)
		if !ok {
			continue
		}
		sub, ok := c.subnets.Get(p.subnet)
		if !ok {
			continue
		}
		n, _ := c.networks.Get(p.network)
		tap := "tap" + p.id[:11]
		links = append(links, map[string]any{"id": tap, "vif_id": p.id, "type": "ovs", "mtu": n.mtu, "ethernet_mac_address": p.mac.String()})
		routes := []any{}
		if sub.gateway.IsValid() {
			routes = append(routes, map[string]string{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": sub.gateway.String()})
		}
		var dns []any
		for _, ns := range sub.nameserver {
			dns = append(dns, map[string]string{"type": "dns", "address": ns})
		}
		services = append(services, dns...)
		networks = append(networks, map[string]any{
			"id": "network0", "type": "ipv4", "link": tap, "network_id": n.id, "ip_address": p.ip.String(), "netmask": mask(sub.cidr),
			"routes": routes, "services": append([]any{}, dns...),
		})
	}
	out, _ := json.Marshal(map[string]any{"links": links, "networks": networks, "services": services}) // cannot fail
	return string(out)
}

// mask prints the netmask of a prefix.
func mask(p netip.Prefix) string { return net.IP(net.CIDRMask(p.Bits(), 32)).String() }
