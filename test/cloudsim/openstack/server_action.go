package openstack

import (
	"encoding/json"
	"maps"
	"strings"
)

func deleteServer(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	if s.task == "deleting" {
		return answer{status: 204}, nil
	}
	s.task, s.updated = "deleting", c.now()
	if !s.booted { // never got a machine
		return answer{status: 204}, c.gone(s)
	}
	return answer{status: 204}, c.opts.Fabric.DeleteVM(c.ctx, s.id)
}

// wrongState says that a server cannot be done to what a call wants.
func wrongState(s *server, verb string) error {
	vm, _ := s.status.vmState()
	if s.task != "" {
		return fault(409, "Cannot '%s' instance %s while it is in task_state %s", verb, s.id, s.task)
	}
	return fault(409, "Cannot '%s' instance %s while it is in vm_state %s", verb, s.id, vm)
}

func actOnServer(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	var body map[string]json.RawMessage
	if err := strictJSON(c.body, &body); err != nil || len(body) != 1 {
		return answer{}, fault(400, "There is no such action, or more than one: %.64s", c.body)
	}
	for verb, detail := range body {
		switch verb {
		case "os-stop":
			return c.stop(s)
		case "os-start":
			return c.start(s)
		case "reboot":
			return c.reboot(s, detail)
		case "os-getConsoleOutput":
			return c.console(s, detail)
		default:
			return answer{}, fault(400, "There is no such action: %s", verb)
		}
	}
	return answer{}, nil // not reached: there is exactly one
}

func (c *call) stop(s *server) (answer, error) {
	if s.task != "" || s.status != statusActive {
		return answer{}, wrongState(s, "stop")
	}
	c.move(s, statusActive, "powering-off")
	return answer{status: 202}, c.opts.Fabric.StopVM(c.ctx, s.id)
}

func (c *call) start(s *server) (answer, error) {
	if s.task != "" || s.status != statusShutoff {
		return answer{}, wrongState(s, "start")
	}
	if err := c.boot(s); err != nil {
		return answer{}, err
	}
	c.move(s, statusShutoff, "powering-on")
	return answer{status: 202}, nil
}

func (c *call) reboot(s *server, detail json.RawMessage) (answer, error) {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(detail, &kind); err != nil || !strings.EqualFold(kind.Type, "soft") && !strings.EqualFold(kind.Type, "hard") {
		return answer{}, fault(400, "Invalid input for field/attribute type. Value: %.32s. It is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']", detail)
	}
	if s.task != "" || s.status != statusActive {
		return answer{}, wrongState(s, "reboot")
	}
	if err := c.opts.Fabric.RebootVM(c.ctx, s.id); err != nil {
		return answer{}, err
	}
	c.move(s, statusReboot, "")
	return answer{status: 202}, nil
}

func (c *call) console(s *server, detail json.RawMessage) (answer, error) {
	var want struct {
		Length *int `json:"length"`
	}
	if err := json.Unmarshal(detail, &want); err != nil && string(detail) != "null" {
		return answer{}, fault(400, "Invalid input for field/attribute length.")
	}
	out := string(c.opts.Fabric.Console(s.id))
	if n := or(want.Length, -1); n >= 0 {
		lines := strings.SplitAfter(out, "\n")
		if strings.HasSuffix(out, "\n") {
			lines = lines[:len(lines)-1]
		}
		out = strings.Join(lines[max(0, len(lines)-n):], "")
	}
	return answer{status: 200, body: map[string]any{"output": out}}, nil
}

func showMetadata(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	return answer{status: 200, body: map[string]any{"metadata": maps.Clone(s.metadata)}}, nil
}

// metadataBody reads the body of a request about metadata.
func (c *call) metadataBody() (*server, map[string]string, error) {
	s, err := c.serverOf()
	if err != nil {
		return nil, nil, err
	}
	var body struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := strictJSON(c.body, &body); err != nil || body.Metadata == nil {
		return nil, nil, fault(400, "Invalid input for field/attribute metadata.")
	}
	m, err := checkMetadata(body.Metadata)
	return s, m, err
}

func updateMetadata(c *call) (answer, error) {
	s, m, err := c.metadataBody()
	if err != nil {
		return answer{}, err
	}
	maps.Copy(s.metadata, m)
	return answer{status: 200, body: map[string]any{"metadata": maps.Clone(s.metadata)}}, nil
}

func replaceMetadata(c *call) (answer, error) {
	s, m, err := c.metadataBody()
	if err != nil {
		return answer{}, err
	}
	s.metadata = m
	return answer{status: 200, body: map[string]any{"metadata": maps.Clone(m)}}, nil
}

func deleteMetadata(c *call) (answer, error) {
	s, err := c.serverOf()
	if err != nil {
		return answer{}, err
	}
	key := c.req.PathValue("key")
	if _, ok := s.metadata[key]; !ok {
		return answer{}, fault(404, "Metadata item was not found")
	}
	delete(s.metadata, key)
	return answer{status: 204}, nil
}

func showLimits(c *call) (answer, error) {
	cores, ram := 0, 0
	for _, s := range c.servers.All() {
		cores, ram = cores+s.flavor.vcpu, ram+s.flavor.ram
	}
	instances := -1
	if limit, ok := c.opts.Faults.Quota(Name, Region, "vm"); ok {
		instances = limit
	}
	return answer{status: 200, body: map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": map[string]any{
		"maxTotalInstances": instances, "maxTotalCores": -1, "maxTotalRAMSize": -1, "maxServerMeta": maxMetadata, "maxTotalKeypairs": 100,
		"maxServerGroups": 10, "maxServerGroupMembers": 10, "totalInstancesUsed": c.servers.Len(), "totalCoresUsed": cores,
		"totalRAMUsed": ram, "totalServerGroupsUsed": 0,
	}}}}, nil
}

func showComputeQuota(c *call) (answer, error) {
	d := map[string]any{
		"id": c.id(), "instances": -1, "cores": -1, "ram": -1, "key_pairs": 100, "metadata_items": maxMetadata, "server_groups": 10,
		"server_group_members": 10,
	}
	if limit, ok := c.opts.Faults.Quota(Name, Region, "vm"); ok {
		d["instances"] = limit
	}
	return show(200, "quota_set", d)
}

func listComputeZones(*call) (answer, error) {
	return answer{status: 200, body: map[string]any{"availabilityZoneInfo": []any{map[string]any{
		"zoneName": Zone, "zoneState": map[string]bool{"available": true}, "hosts": nil,
	}}}}, nil
}
