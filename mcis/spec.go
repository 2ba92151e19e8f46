package mcis

import (
	"net/netip"
	"strconv"
)

// Spec is a document of kind MCIS: the wish of a user. It remembers the line of
// each of its fields, so that faults found later still name their place.
type Spec struct {
	Name      string    `json:"name"`
	Network   Network   `json:"network,omitzero"`
	SSHKey    string    `json:"sshKey,omitempty"` // a line of authorized_keys, for the image's usual user of every machine
	Groups    []Group   `json:"groups"`
	OnFailure OnFailure `json:"onFailure"`

	// File and Lines say where the spec was read. They are no part of the wish:
	// two specs that differ only in them are the same.
	File  string         `json:"file,omitempty"`
	Lines map[string]int `json:"lines,omitempty"` // line by path, as "groups[0].count"
}

// Network is the part of the mesh that an MCIS is numbered from.
type Network struct {
	CIDR netip.Prefix `json:"cidr,omitzero"` // a slice of the mesh's prefix; zero: anywhere in it
}

// Group is a number of like nodes.
type Group struct {
	Name     string            `json:"name"`
	Cloud    string            `json:"cloud"`             // name of an account
	Region   string            `json:"region,omitempty"`  // empty: the account's own, unless Regions is set
	Regions  []string          `json:"regions,omitempty"` // Count nodes in each
	Count    int               `json:"count"`
	Machine  Machine           `json:"spec,omitzero"`
	Image    string            `json:"image,omitempty"` // alias or the cloud's own id; empty: [DefaultImage]
	Labels   map[string]string `json:"labels,omitempty"`
	PublicIP bool              `json:"publicIp"`         // default true
	Egress   Egress            `json:"egress,omitempty"` // the way out of machines without a public address
	Roles    []string          `json:"role,omitempty"`
	Routes   []netip.Prefix    `json:"routes,omitempty"` // networks behind the nodes
}

// Egress is the way out of machines without a public address.
type Egress string

// EgressNAT is the cloud's own NAT ([cloud.NAT]), one for all machines of the
// MCIS in a region.
const EgressNAT Egress = "nat"

// Machine is a wish for a machine type: a name, or the least it must have.
type Machine struct {
	Name      string `json:"name,omitempty"`
	VCPU      int    `json:"vcpu,omitempty"`
	MemoryMiB int    `json:"memoryMiB,omitempty"`
}

// DefaultImage is the image of a group that names none.
const DefaultImage = "debian-12"

// OnFailure says what happens when a node fails.
type OnFailure string

// What can happen when a node fails.
const (
	OnFailureContinue OnFailure = "continue" // keep the others; the MCIS is degraded (default)
	OnFailureRollback OnFailure = "rollback" // remove what this run made
	OnFailureReplace  OnFailure = "replace"  // make the node again, a few times
)

// Line returns the line of a path in the file, or of the nearest field around
// it, or 0.
func (s *Spec) Line(path string) int {
	for {
		if n, ok := s.Lines[path]; ok {
			return n
		}
		i := len(path) - 1
		for i >= 0 && path[i] != '.' && path[i] != '[' {
			i--
		}
		if i < 0 {
			return s.Lines[""]
		}
		path = path[:i]
	}
}

// fault makes a fault at a path of the spec.
func (s *Spec) fault(path, what, fix string) Fault {
	return Fault{File: s.File, Line: s.Line(path), Path: path, What: what, Fix: fix}
}

// groupPath returns the path of a field of a group.
func groupPath(i int, field string) string { return "groups[" + strconv.Itoa(i) + "]." + field }
