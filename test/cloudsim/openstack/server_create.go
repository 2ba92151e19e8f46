package openstack

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Limits of a server, as Nova has them.
const (
	maxUserData = 65535 // characters of base64
	maxName     = 255   // characters of names, keys and values
	maxMetadata = 128   // items
	maxServers  = 100   // of one call
)

// serverBody is what a client may say about a new server.
type serverBody struct {
	Name        *string             `json:"name"`
	Description *string             `json:"description"`
	Image       *string             `json:"imageRef"`
	Flavor      json.RawMessage     `json:"flavorRef"` // text or number
	Networks    json.RawMessage     `json:"networks"`  // a list, "auto" or "none"
	Key         *string             `json:"key_name"`
	Metadata    *map[string]string  `json:"metadata"`
	UserData    *string             `json:"user_data"`
	Groups      []map[string]string `json:"security_groups"`
	Zone        *string             `json:"availability_zone"`
	Drive       any                 `json:"config_drive"`
	Min         *int                `json:"min_count"`
	Max         *int                `json:"max_count"`
	Tags        []string            `json:"tags"`
	Password    *string             `json:"adminPass"`
	DiskConfig  *string             `json:"OS-DCF:diskConfig"`
	Hostname    *string             `json:"hostname"`
	Volumes     []any               `json:"block_device_mapping_v2"`
	Personality []any               `json:"personality"`
	ReturnID    *bool               `json:"return_reservation_id"`
	AccessIPv4  *string             `json:"accessIPv4"`
	AccessIPv6  *string             `json:"accessIPv6"`
}

func createServer(c *call) (answer, error) {
	var body serverBody
	if err := c.novaBody("server", &body); err != nil {
		return answer{}, err
	}
	s, err := c.parseServer(body)
	if err != nil {
		return answer{}, err
	}
	count := max(or(body.Min, 1), or(body.Max, or(body.Min, 1)))
	if or(body.Min, 1) < 1 || count > maxServers || or(body.Min, 1) > or(body.Max, count) {
		return answer{}, fault(400, "Invalid input for field/attribute min_count or max_count.")
	}
	if limit, ok := c.opts.Faults.Quota(Name, Region, "vm"); ok && c.servers.Len()+count > limit {
		return answer{}, fault(403, "Quota exceeded for instances: Requested %d, but already used %d of %d instances", count, c.servers.Len(), limit)
	}
	if count > 1 {
		for _, w := range s.wants {
			if w.port != "" || w.fixed != "" {
				return answer{}, fault(400, "Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.")
			}
		}
	}
	first := ""
	for i := range count {
		one := *s
		one.id = newID()
		if count > 1 {
			one.name += "-" + itoa(i+1)
		}
		first = c.accept(&one, first)
	}
	d := map[string]any{
		"id": first, "links": c.links("servers", first), "OS-DCF:diskConfig": "MANUAL", "adminPass": newHex(6),
		"security_groups": requestedGroups(body),
	}
	return answer{status: 202, body: map[string]any{"server": d}, header: map[string]string{"Location": c.links("servers", first)[0].Href}}, nil
}

// accept takes a server on and lets it be built a moment later. It returns the
// id of the first one.
func (c *call) accept(s *server, first string) string {
	s.created, s.status, s.task = c.now(), statusBuild, "scheduling"
	s.updated = s.created
	switch {
	case c.opts.Faults.NoCapacity(Name, Region, Zone):
		s.doomed = noHost()
	case c.opts.Faults.AsyncFail():
		s.doomed = &serverFault{Code: 500, Message: "Build of instance " + s.id + " aborted: Failed to allocate the network(s), not rescheduling."}
	}
	c.servers.Put(s.id, s)
	cloud := c.Cloud
	c.laterLocked(c.opts.BindDelay, func(ctx context.Context) { (&call{Cloud: cloud, ctx: ctx}).build(s) })
	if first == "" {
		return s.id
	}
	return first
}

// requestedGroups prints the groups that a request names.
func requestedGroups(body serverBody) []map[string]string {
	if len(body.Groups) == 0 {
		return []map[string]string{{"name": "default"}}
	}
	return body.Groups
}

// parseServer checks a new server.
func (c *call) parseServer(body serverBody) (*server, error) {
	s := &server{name: or(body.Name, ""), description: body.Description, key: or(body.Key, ""), tags: body.Tags, userData: or(body.UserData, "")}
	if n := utf8.RuneCountInString(s.name); n == 0 || n > maxName || strings.TrimSpace(s.name) != s.name {
		return nil, fault(400, "Invalid input for field/attribute name. Value: %s. '%s' is too long or empty", s.name, s.name)
	}
	var ok bool
	if s.image, ok = imageOf(or(body.Image, "")); !ok {
		return nil, fault(400, "Invalid imageRef provided.")
	}
	var err error
	if s.flavor, err = parseFlavor(body.Flavor); err != nil {
		return nil, err
	}
	if s.key != "" {
		if _, ok := c.keys.Get(s.key); !ok {
			return nil, fault(400, "Invalid key_name provided.")
		}
	}
	if zone := or(body.Zone, Zone); zone != Zone {
		return nil, fault(400, "The requested availability zone is not available")
	}
	if len(body.Volumes) > 1 {
		return nil, fault(400, "Block Device Mapping is Invalid: volumes are not simulated")
	}
	if s.metadata, err = checkMetadata(or(body.Metadata, nil)); err != nil {
		return nil, err
	}
	if err := checkUserData(s.userData); err != nil {
		return nil, err
	}
	if body.Drive == true || body.Drive == "true" || body.Drive == "True" {
		s.drive = "True"
	}
	if err := c.parseGroups(s, body.Groups); err != nil {
		return nil, err
	}
	s.wants, err = c.parseNetworks(body.Networks)
	return s, err
}

// parseFlavor reads a reference to a flavor, which may be a URL.
func parseFlavor(raw json.RawMessage) (flavor, error) {
	id := strings.Trim(string(raw), `"`)
	f, err := flavorOf(id[strings.LastIndexByte(id, '/')+1:])
	if err != nil {
		return f, fault(400, "Flavor %s could not be found.", id)
	}
	return f, nil
}

// checkMetadata checks a server's metadata.
func checkMetadata(m map[string]string) (map[string]string, error) {
	if len(m) > maxMetadata {
		return nil, fault(403, "Quota exceeded for metadata_items: Requested %d, but already used 0 of %d metadata_items", len(m), maxMetadata)
	}
	out := map[string]string{}
	for k, v := range m {
		if k == "" || utf8.RuneCountInString(k) > maxName || utf8.RuneCountInString(v) > maxName || strings.Trim(strings.ToLower(k), "abcdefghijklmnopqrstuvwxyz0123456789-_:. ") != "" {
			return nil, fault(400, "Invalid input for field/attribute metadata. Value: {%s: %s}. Additional properties are not allowed (%q was unexpected)", k, v, k)
		}
		out[k] = v
	}
	return out, nil
}

// checkUserData checks user data.
func checkUserData(s string) error {
	if len(s) > maxUserData {
		return fault(400, "Invalid input for field/attribute user_data. Value: %s... %d characters is too long", s[:32], len(s))
	}
	if _, err := base64.StdEncoding.DecodeString(s); err != nil {
		return fault(400, "Invalid input for field/attribute user_data. Value: %.32s... is not a 'base64'", s)
	}
	return nil
}

// parseGroups reads the security groups of the ports that Nova makes, by name
// or id.
func (c *call) parseGroups(s *server, named []map[string]string) error {
	for _, n := range named {
		var ids []string
		for _, g := range c.groups.All() {
			if g.id == n["name"] || g.name == n["name"] {
				ids = append(ids, g.id)
			}
		}
		switch len(ids) {
		case 0:
			return fault(400, "Security group %s not found for project %s.", n["name"], c.project)
		case 1:
			s.groups = append(s.groups, ids[0])
		default:
			return fault(409, "Multiple security groups found matching '%s'. Use an ID to be more specific.", n["name"])
		}
	}
	if len(s.groups) == 0 {
		s.groups = []string{c.defaultSG.id}
	}
	return nil
}

// parseNetworks reads where a server is to be connected.
func (c *call) parseNetworks(raw json.RawMessage) ([]nicWish, error) {
	var nics []struct {
		Network *string `json:"uuid"`
		Port    *string `json:"port"`
		Fixed   *string `json:"fixed_ip"`
		Tag     *string `json:"tag"`
	}
	switch text := string(raw); {
	case text == `"none"`:
		return nil, fault(400, "servers without a network are not simulated")
	case text == `"auto"` || raw == nil && !c.micro.atLeast(37):
		return c.autoNetwork()
	case raw == nil:
		return nil, fault(400, "Invalid input for field/attribute server. 'networks' is a required property")
	}
	if err := json.Unmarshal(raw, &nics); err != nil {
		return nil, fault(400, "Invalid input for field/attribute networks. Value: %.64s", raw)
	}
	if len(nics) == 0 {
		return c.autoNetwork()
	}
	if len(nics) > 1 {
		return nil, fault(400, "servers with several ports are not simulated")
	}
	var wishes []nicWish
	for _, n := range nics {
		w := nicWish{port: or(n.Port, ""), network: or(n.Network, ""), fixed: or(n.Fixed, "")}
		if err := c.checkWish(w); err != nil {
			return nil, err
		}
		wishes = append(wishes, w)
	}
	return wishes, nil
}

// autoNetwork chooses the only network there is.
func (c *call) autoNetwork() ([]nicWish, error) {
	own := c.networks.Where(func(n *network) bool { return !n.external })
	switch len(own) {
	case 0:
		return nil, fault(400, "No networks available to the project and automatic creation of one is not simulated")
	case 1:
		return []nicWish{{network: own[0].id}}, nil
	default:
		return nil, fault(409, "Multiple possible networks found, use a Network ID to be more specific.")
	}
}

// checkWish looks at a port or network as Nova's API does before it accepts a
// server. A port that is taken meanwhile is noticed later.
func (c *call) checkWish(w nicWish) error {
	if w.port != "" {
		p, ok := c.ports.Get(w.port)
		switch {
		case !ok:
			return fault(400, "Port %s could not be found.", w.port)
		case p.device != "":
			return fault(409, "Port %s is still in use.", p.id)
		case !p.ip.IsValid():
			return fault(400, "Port %s requires a FixedIP in order to be used.", p.id)
		}
		return nil
	}
	n, ok := c.networks.Get(w.network)
	if !ok {
		return fault(400, "Network %s could not be found.", w.network)
	}
	if n.external {
		return fault(403, "It is not allowed to create an interface on external network %s", n.id)
	}
	if !c.subnets.Any(func(s *subnet) bool { return s.network == n.id }) {
		return fault(400, "Network %s requires a subnet in order to boot instances on.", n.id)
	}
	if w.fixed == "" {
		return nil
	}
	ip, err := netip.ParseAddr(w.fixed)
	s, ok := c.subnetOf(n.id, ip)
	if err != nil || !ok || !s.usable(ip) {
		return fault(400, "Fixed IP address %s is invalid for network %s.", w.fixed, n.id)
	}
	if c.used(s)[ip] != "" {
		return fault(400, "Fixed IP address %s is already in use on instance.", w.fixed)
	}
	return nil
}
