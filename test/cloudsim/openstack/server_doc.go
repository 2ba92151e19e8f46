package openstack

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// addresses prints a server's addresses by network.
func (c *Cloud) addresses(s *server) map[string]any {
	out := map[string]any{}
	for _, id := range s.ports {
		p, ok := c.ports.Get(id)
		if !ok || !p.ip.IsValid() {
			continue
		}
		n, _ := c.networks.Get(p.network)
		list, _ := out[n.name].([]map[string]any)
		entry := func(addr, kind string) map[string]any {
			return map[string]any{"version": 4, "addr": addr, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": p.mac.String()}
		}
		list = append(list, entry(p.ip.String(), "fixed"))
		for _, f := range c.floating.All() {
			if f.port == p.id {
				list = append(list, entry(f.ip.String(), "floating"))
			}
		}
		out[n.name] = list
	}
	return out
}

// vmState is a server's state in the words of Nova's inside.
func (s status) vmState() (string, int) {
	switch s {
	case statusBuild:
		return "building", 0
	case statusShutoff:
		return "stopped", 4
	case statusError:
		return "error", 0
	default:
		return "active", 1
	}
}

// doc prints a server in full.
func (s *server) doc(c *call) map[string]any {
	vm, power := s.status.vmState()
	var task, launched any
	if s.task != "" {
		task = s.task
	}
	if !s.launched.IsZero() {
		launched = s.launched.UTC().Format("2006-01-02T15:04:05.000000")
	}
	progress := 0
	if s.status == statusActive {
		progress = 100
	}
	var key any
	if s.key != "" {
		key = s.key
	}
	d := map[string]any{
		"id": s.id, "name": s.name, "status": string(s.status), "tenant_id": c.project, "user_id": c.user, "metadata": maps.Clone(s.metadata),
		"hostId": "", "image": map[string]any{"id": s.image.id, "links": c.links("images", s.image.id)[1:]}, "created": stamp(s.created),
		"updated": stamp(s.updated), "addresses": c.addresses(s), "accessIPv4": "", "accessIPv6": "", "links": c.links("servers", s.id),
		"OS-DCF:diskConfig": "MANUAL", "progress": progress, "OS-EXT-AZ:availability_zone": Zone, "config_drive": s.drive, "key_name": key,
		"OS-SRV-USG:launched_at": launched, "OS-SRV-USG:terminated_at": nil, "OS-EXT-STS:task_state": task, "OS-EXT-STS:vm_state": vm,
		"OS-EXT-STS:power_state": power, "os-extended-volumes:volumes_attached": []any{}, "security_groups": c.groupNames(s),
		"flavor": s.flavorDoc(c),
	}
	if s.status == statusBuild || s.status == statusError {
		delete(d, "security_groups") // Nova leaves them out until the ports are bound
		if len(s.ports) > 0 {
			d["security_groups"] = c.groupNames(s)
		}
	}
	if s.fault != nil {
		d["fault"] = s.fault
	}
	s.newer(c, d)
	return d
}

// newer adds what later microversions have.
func (s *server) newer(c *call, d map[string]any) {
	if c.micro.atLeast(9) {
		d["locked"] = false
	}
	if c.micro.atLeast(19) {
		d["description"] = s.description
	}
	if c.micro.atLeast(26) {
		d["tags"] = append([]string{}, s.tags...)
	}
	if c.micro.atLeast(63) {
		d["trusted_image_certificates"] = nil
	}
	if c.micro.atLeast(71) {
		d["server_groups"] = []string{}
	}
	if c.micro.atLeast(73) {
		d["locked_reason"] = nil
	}
}

// flavorDoc prints a server's flavor.
func (s *server) flavorDoc(c *call) map[string]any {
	f := s.flavor
	if !c.micro.atLeast(47) {
		return map[string]any{"id": f.id, "links": c.links("flavors", f.id)[1:]}
	}
	return map[string]any{
		"original_name": f.name, "vcpus": f.vcpu, "ram": f.ram, "disk": f.disk, "ephemeral": 0, "swap": 0, "extra_specs": map[string]string{},
	}
}

// brief prints a server in short.
func (s *server) brief(c *call) map[string]any {
	return map[string]any{"id": s.id, "name": s.name, "links": c.links("servers", s.id)}
}

func listServers(c *call) (answer, error)       { return c.listServerRows((*server).brief) }
func listServersDetail(c *call) (answer, error) { return c.listServerRows((*server).doc) }

// listServerRows prints the servers that a query selects, newest first.
func (c *call) listServerRows(print func(*server, *call) map[string]any) (answer, error) {
	query := c.req.URL.Query()
	rows := []map[string]any{}
	name, err := regexp.Compile(query.Get("name"))
	if err != nil {
		return answer{}, fault(400, "Invalid input for query parameters name. Value: %s", query.Get("name"))
	}
	all := c.servers.All()
	slices.Reverse(all)
	for _, s := range all {
		if name.MatchString(s.name) && c.selectsServer(query, s) {
			rows = append(rows, print(s, c))
		}
	}
	rows, next, err := cut(rows, query)
	if err != nil {
		return answer{}, fault(400, "marker [%s] not found", query.Get("marker"))
	}
	body := map[string]any{"servers": rows}
	if next != "" {
		query.Set("marker", next)
		body["servers_links"] = []link{{"next", c.opts.URL + c.req.URL.Path + "?" + query.Encode()}}
	}
	return answer{status: 200, body: body}, nil
}

// selectsServer reports whether a server has what a query asks for, its name
// aside. Parameters that it does not know are ignored, as Nova does too.
func (c *call) selectsServer(query url.Values, s *server) bool {
	tagged := func(name string, has func(string) bool, all bool) bool {
		if query.Get(name) == "" {
			return true
		}
		for t := range strings.SplitSeq(query.Get(name), ",") {
			if has(t) != all {
				return !all
			}
		}
		return all
	}
	has := func(t string) bool { return slices.Contains(s.tags, t) }
	for want, have := range map[string]string{
		"status": string(s.status), "flavor": s.flavor.id, "image": s.image.id, "uuid": s.id, "key_name": s.key, "project_id": c.project, "tenant_id": c.project,
	} {
		if v := query.Get(want); v != "" && !strings.EqualFold(v, have) {
			return false
		}
	}
	if ip := query.Get("ip"); ip != "" && !strings.Contains(fmt.Sprint(c.addresses(s)), ip) {
		return false
	}
	return tagged("tags", has, true) && tagged("tags-any", has, false)
}

// serverOf returns the server that the request's path names.
func (c *call) serverOf() (*server, error) {
	s, ok := c.servers.Get(c.id())
	if !ok {
		return nil, fault(404, "Instance %s could not be found.", c.id())
	}
	return s, nil
}

func showServer(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	return show(200, "server", s.doc(c))
}

func updateServer(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	var body struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		AccessIPv4  *string `json:"accessIPv4"`
		AccessIPv6  *string `json:"accessIPv6"`
	}
	if err := c.novaBody("server", &body); err != nil {
		return answer{}, err
	}
	set(&s.name, body.Name)
	if body.Description != nil {
		s.description = body.Description
	}
	s.updated = c.now()
	return show(200, "server", s.doc(c))
}

func listAddresses(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: map[string]any{"addresses": c.addresses(s)}}, nil
}

func listInterfaces(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	rows := []map[string]any{}
	for _, id := range s.ports {
		if p, ok := c.ports.Get(id); ok {
			rows = append(rows, map[string]any{
				"port_id": p.id, "net_id": p.network, "mac_addr": p.mac.String(), "port_state": "ACTIVE", "fixed_ips": []fixedIP{{p.subnet, p.ip.String()}},
			})
		}
	}
	return answer{status: 200, body: map[string]any{"interfaceAttachments": rows}}, nil
}
