package mcis

import "net/netip"

// Action says what a step of a plan does.
type Action string

// The actions.
const (
	ActionCreate  Action = "create"
	ActionKeep    Action = "keep"
	ActionChange  Action = "change"  // complete what is there
	ActionReplace Action = "replace" // delete and create again under the same name
	ActionDelete  Action = "delete"
)

// Plan is what an apply would do.
type Plan struct {
	MCIS        string  `json:"mcis"`
	Steps       []Step  `json:"steps"`       // by cloud, region, network first
	CostPerHour float64 `json:"costPerHour"` // US dollars, of all nodes afterwards whose price is known
	Unpriced    int     `json:"unpriced"`    // nodes whose price is not known
}

// Changes reports whether the plan does anything.
func (p Plan) Changes() bool {
	for _, s := range p.Steps {
		if s.Action != ActionKeep {
			return true
		}
	}
	return false
}

// Step is one thing to make, keep or remove.
type Step struct {
	Action      Action       `json:"action"`
	Kind        string       `json:"kind"` // "network" or "vm"
	Cloud       string       `json:"cloud"`
	Region      string       `json:"region"`
	Name        string       `json:"name"`            // of the node, or of the network in the cloud
	Group       string       `json:"group,omitempty"` // of a vm
	Machine     string       `json:"spec,omitempty"`  // machine type, the cloud's name
	Image       string       `json:"image,omitempty"`
	ImageID     string       `json:"imageId,omitempty"`
	CIDR        netip.Prefix `json:"cidr,omitzero"`    // of a network
	Egress      string       `json:"egress,omitempty"` // of a network: the vendor's name of its way out
	PrivateIP   netip.Addr   `json:"privateIp,omitzero"`
	PublicIP    bool         `json:"publicIp,omitempty"`
	CostPerHour *float64     `json:"costPerHour,omitempty"`
	Reason      string       `json:"reason,omitempty"` // why it is not as before, or not as one may think
}
