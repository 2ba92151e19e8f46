package gcp

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// This file reads what the insertion of an instance asks for.

// Limits of an instance, as Compute Engine has them.
const (
	maxMetadataValue = 256 << 10 // bytes
	maxMetadata      = 512 << 10 // bytes, of all values
	maxLabels        = 64
	diskGB           = 10 // size of the disk, that of the images
)

var (
	metadataKey = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)
	labelKey    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelValue  = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
)

// instanceIn is an instance as clients send it. Fields whose meaning is not
// simulated are kept and shown, if they are usual ones.
type instanceIn struct {
	Kind         string            `json:"kind"`
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	MachineType  string            `json:"machineType"`
	Zone         string            `json:"zone"`
	CanForward   bool              `json:"canIpForward"`
	Protected    bool              `json:"deletionProtection"`
	Labels       map[string]string `json:"labels"`
	Hostname     string            `json:"hostname"`
	Metadata     *metadataDoc      `json:"metadata"`
	Tags         *tagsDoc          `json:"tags"`
	Disks        []diskIn          `json:"disks"`
	Interfaces   []interfaceIn     `json:"networkInterfaces"`
	Scheduling   json.RawMessage   `json:"scheduling"`
	Accounts     json.RawMessage   `json:"serviceAccounts"`
	Shielded     json.RawMessage   `json:"shieldedInstanceConfig"`
	Reservation  json.RawMessage   `json:"reservationAffinity"`
	Confidential json.RawMessage   `json:"confidentialInstanceConfig"`
	Params       json.RawMessage   `json:"params"`
}

type diskIn struct {
	Kind       string       `json:"kind"`
	Type       string       `json:"type"`
	Mode       string       `json:"mode"`
	Boot       bool         `json:"boot"`
	AutoDelete *bool        `json:"autoDelete"`
	DeviceName string       `json:"deviceName"`
	Interface  string       `json:"interface"`
	Source     string       `json:"source"`
	Initialize initializeIn `json:"initializeParams"`
}

type initializeIn struct {
	Image       string            `json:"sourceImage"`
	DiskName    string            `json:"diskName"`
	DiskType    string            `json:"diskType"`
	DiskSize    string            `json:"diskSizeGb"`
	Labels      map[string]string `json:"labels"`
	Description string            `json:"description"`
}

type interfaceIn struct {
	Kind       string         `json:"kind"`
	Name       string         `json:"name"`
	Network    string         `json:"network"`
	Subnetwork string         `json:"subnetwork"`
	IP         string         `json:"networkIP"`
	Stack      string         `json:"stackType"`
	Access     []accessConfig `json:"accessConfigs"`
}

// orderMachine reads the machine type and what else the instance itself has.
func (c *call) orderMachine(i *instance, in *instanceIn) error {
	if in.MachineType == "" {
		return required("resource.machineType")
	}
	path, err := c.p.own("resource.machineType", in.MachineType, "machineTypes")
	if err != nil {
		return err
	}
	var ok bool
	if i.machine, ok = c.machineNamed(i.zone, base(path)); !ok || scopeOf(path) != "zones/"+i.zone {
		return invalid("resource.machineType", c.p.link(path), "Machine type with name '%s' does not exist in zone '%s'.", base(path), i.zone)
	}
	if in.Hostname != "" {
		return invalid("resource.hostname", in.Hostname, "Custom host names are not simulated.")
	}
	i.description, i.canForward, i.protected = in.Description, in.CanForward, in.Protected
	i.more = map[string]json.RawMessage{
		"scheduling":      json.RawMessage(`{"onHostMaintenance": "MIGRATE", "automaticRestart": true, "preemptible": false, "provisioningModel": "STANDARD"}`),
		"serviceAccounts": in.Accounts, "shieldedInstanceConfig": in.Shielded, "reservationAffinity": in.Reservation, "confidentialInstanceConfig": in.Confidential,
	}
	if in.Scheduling != nil {
		i.more["scheduling"] = in.Scheduling
	}
	return nil
}

// orderDisk reads the boot disk: new, from an image, deleted with the instance.
func (c *call) orderDisk(i *instance, in *instanceIn) error {
	if len(in.Disks) != 1 || !in.Disks[0].Boot {
		return invalid("resource.disks", itoa(len(in.Disks)), "Boot disk must be specified; other disks are not simulated.")
	}
	d := in.Disks[0]
	switch {
	case d.Source != "":
		return invalid("resource.disks[0].source", d.Source, "Existing disks are not simulated.")
	case d.Initialize.Image == "":
		return required("resource.disks[0].initializeParams.sourceImage")
	case d.AutoDelete == nil || !*d.AutoDelete:
		return invalid("resource.disks[0].autoDelete", "false", "Disks that outlive their instance are not simulated.")
	case d.Initialize.DiskSize != "" && d.Initialize.DiskSize != itoa(diskGB):
		return invalid("resource.disks[0].initializeParams.diskSizeGb", d.Initialize.DiskSize, "Disks of another size than %d GB are not simulated.", diskGB)
	}
	var err error
	if i.image, err = c.imageOf("resource.disks[0].initializeParams.sourceImage", d.Initialize.Image); err != nil {
		return err
	}
	if i.image.arch != i.machine.arch {
		return invalid("resource.disks[0].initializeParams.sourceImage", i.image.link(), "The selected machine type (%s) has a required architecture of %s.", i.machine.name, i.machine.arch)
	}
	i.diskName, i.deviceName = cmp.Or(d.Initialize.DiskName, in.Name), cmp.Or(d.DeviceName, "persistent-disk-0")
	i.diskType, i.diskLabels = cmp.Or(base(d.Initialize.DiskType), "pd-standard"), d.Initialize.Labels
	hyper := isOneOf(i.machine.family(), "c4 n4")
	switch {
	case !isOneOf(i.diskType, "pd-standard pd-balanced pd-ssd hyperdisk-balanced"):
		return notFound(c.p.resource("zones/" + i.zone + "/diskTypes/" + i.diskType))
	case hyper != strings.HasPrefix(i.diskType, "hyperdisk-"):
		return invalid("resource.disks[0].initializeParams.diskType", i.diskType, "[%s] features and [instance_type: VIRTUAL_MACHINE, family: %s] are incompatible.", i.diskType, i.machine.family())
	}
	return checkLabels("resource.disks[0].initializeParams.labels", d.Initialize.Labels)
}

// orderInterface reads where the instance is to be.
func (c *call) orderInterface(i *instance, in *instanceIn) error {
	const field = "resource.networkInterfaces[0]"
	if len(in.Interfaces) != 1 {
		return invalid("resource.networkInterfaces", itoa(len(in.Interfaces)), "At least one network interface is required; several are not simulated.")
	}
	nic := in.Interfaces[0]
	if nic.Stack != "" && nic.Stack != "IPV4_ONLY" {
		return invalid(field+".stackType", nic.Stack, "IPv6 is not simulated.")
	}
	var n *network
	var err error
	if nic.Network != "" || nic.Subnetwork == "" {
		if n, err = c.networkOf(field+".network", nic.Network); err != nil {
			return err
		}
	}
	if nic.Subnetwork == "" {
		return invalid(field+".network", nic.Network, "Subnetwork should be specified for custom subnetmode network.")
	}
	path, err := c.p.own(field+".subnetwork", nic.Subnetwork, "subnetworks")
	if err != nil {
		return err
	}
	if i.subnet, err = find(c, &c.p.subnetworks, path); err != nil {
		return err
	}
	if i.subnet.region != i.region || n != nil && i.subnet.network != n {
		return invalid(field+".subnetwork", nic.Subnetwork, "Subnetwork must be in the region of the instance and in its network.")
	}
	if err := c.ready(&i.subnet.header); err != nil {
		return err
	}
	if len(nic.Access) > 1 {
		return invalid(field+".accessConfigs", itoa(len(nic.Access)), "At most one access config currently supported.")
	}
	for _, a := range nic.Access {
		if a.Type != "" && a.Type != "ONE_TO_ONE_NAT" || a.IP != "" {
			return invalid(field+".accessConfigs[0]", a.Type+a.IP, "Only ephemeral addresses by ONE_TO_ONE_NAT are simulated.")
		}
		i.access = &accessConfig{Kind: "compute#accessConfig", Type: "ONE_TO_ONE_NAT", Name: cmp.Or(a.Name, "External NAT"), Tier: cmp.Or(a.Tier, "PREMIUM")}
	}
	return c.orderAddress(i, field+".networkIP", nic.IP)
}

// orderAddress reads the private address. That another machine has it comes
// out later, as it does in reality.
func (c *call) orderAddress(i *instance, field, s string) error {
	if s == "" {
		var ok bool
		if i.ip, ok = c.p.free(i.subnet); !ok {
			i.doom = fault(400, "IP_SPACE_EXHAUSTED", "IP space of '%s' is exhausted.", c.p.resource(i.subnet.path))
		}
		return nil
	}
	ip, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return invalid(field, s, "Must be a valid IPv4 address.")
	case !i.subnet.cidr.Contains(ip):
		return invalid(field, s, "Requested internal IP address is outside the network/subnetwork range.")
	case !i.subnet.usable(ip):
		return invalid(field, s, "The IP address is reserved.")
	}
	i.ip = ip
	if c.p.used(i.subnet, ip) != nil {
		i.doom = fault(400, "IP_IN_USE_BY_ANOTHER_RESOURCE", "IP '%s' is already being used by another resource.", ip)
	}
	return nil
}

// orderMetadata reads metadata and tags.
func (c *call) orderMetadata(i *instance, in *instanceIn) error {
	if in.Metadata != nil {
		i.metadata = in.Metadata.Items
	}
	total := 0
	seen := map[string]bool{}
	for _, m := range i.metadata {
		total += len(m.Value)
		switch {
		case !metadataKey.MatchString(m.Key):
			return invalid("resource.metadata.items[0].key", m.Key, "Must be a match of regex '%s'", strings.Trim(metadataKey.String(), "^$"))
		case seen[m.Key]:
			return invalid("resource.metadata", m.Key, "Metadata has duplicate key: %s", m.Key)
		case len(m.Value) > maxMetadataValue:
			return invalid("resource.metadata.items[0].value", m.Key, "The value is %d bytes long; at most %d are possible.", len(m.Value), maxMetadataValue)
		}
		seen[m.Key] = true
	}
	if total > maxMetadata {
		return invalid("resource.metadata", itoa(total), "The total size of all keys and values must be less than %d bytes.", maxMetadata)
	}
	if in.Tags != nil {
		i.tags = in.Tags.Items
	}
	for _, t := range i.tags {
		if !nameRule.MatchString(t) {
			return invalid("resource.tags.items[0]", t, "Must be a match of regex '%s'", strings.Trim(nameRule.String(), "^$"))
		}
	}
	return nil
}

// orderLabels reads the labels.
func (c *call) orderLabels(i *instance, in *instanceIn) error {
	i.labels = maps.Clone(in.Labels)
	return checkLabels("resource.labels", in.Labels)
}

func checkLabels(field string, labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid(field, itoa(len(labels)), "At most %d labels are possible.", maxLabels)
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		switch {
		case !labelKey.MatchString(k):
			return invalid(field, k, "Label keys must start with a lowercase letter, and can only contain lowercase letters, digits, dashes and underscores, at most 63 characters.")
		case !labelValue.MatchString(labels[k]):
			return invalid(field, labels[k], "Label values can only contain lowercase letters, digits, dashes and underscores, at most 63 characters.")
		}
	}
	return nil
}
