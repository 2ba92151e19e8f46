package mcis

import (
	"net/netip"
	"time"
)

// Phase is the state of an MCIS.
//
//	            apply                      all nodes joined
//	(nothing) ---------> planning --> applying ------------> ready <--+
//	                         ^            |                    |      | node back
//	                         |            | some failed        v      |
//	                         |            +---------------> degraded -+
//	                         |            | none joined, or rolled back
//	                         +-- apply ---+---------------> failed
//
//	any --- delete ---> deleting ---> (nothing)
type Phase string

// The phases.
const (
	PhasePlanning Phase = "planning" // accepted; names, types and images are being resolved
	PhaseApplying Phase = "applying"
	PhaseReady    Phase = "ready"
	PhaseDegraded Phase = "degraded" // some nodes are not in the mesh
	PhaseDeleting Phase = "deleting"
	PhaseFailed   Phase = "failed"
)

// Settled reports whether no run is under way in the phase.
func (p Phase) Settled() bool {
	return p == PhaseReady || p == PhaseDegraded || p == PhaseFailed
}

// NodePhase is the state of a node.
type NodePhase string

// The phases of a node.
const (
	NodePlanned     NodePhase = "planned"     // nothing was asked of the cloud yet
	NodeCreating    NodePhase = "creating"    // the cloud was asked for the machine
	NodeJoining     NodePhase = "joining"     // the machine exists and has not joined the mesh
	NodeReady       NodePhase = "ready"       // its daemon is in the mesh
	NodeUnreachable NodePhase = "unreachable" // it was ready and the mesh does not see it now
	NodeFailed      NodePhase = "failed"
	NodeDeleting    NodePhase = "deleting"
)

// Status is an MCIS as it is now.
type Status struct {
	Name    string       `json:"name"`
	UID     string       `json:"uid"`
	Run     int          `json:"run"` // number of the last apply or delete; it only rises
	Phase   Phase        `json:"phase"`
	Reason  string       `json:"reason,omitempty"` // why it is failed or degraded, or what delete waits for
	Desired int          `json:"desired"`
	Ready   int          `json:"ready"`
	Since   time.Time    `json:"since"` // begin of the run
	Nodes   []NodeStatus `json:"nodes"` // sorted by group, region and number
}

// NodeStatus is a node as it is now.
type NodeStatus struct {
	Name        string            `json:"name"`
	Group       string            `json:"group"`
	Cloud       string            `json:"cloud"`
	Region      string            `json:"region"`
	Zone        string            `json:"zone,omitempty"`
	ID          string            `json:"id"`        // the cloud's id of the machine
	IP          netip.Addr        `json:"ip"`        // overlay
	PublicIP    netip.Addr        `json:"publicIp"`  // "" where there is none
	PrivateIP   netip.Addr        `json:"privateIp"` // in the cloud's subnet
	Phase       NodePhase         `json:"phase"`
	Reason      string            `json:"reason"`
	Console     string            `json:"console,omitempty"` // last lines of a failed machine
	CostPerHour *float64          `json:"costPerHour"`       // US dollars; null where unknown
	Labels      map[string]string `json:"labels,omitempty"`
}

// Event tells of progress.
type Event struct {
	Time    time.Time `json:"time"`
	MCIS    string    `json:"mcis"`
	Run     int       `json:"run"`
	Phase   Phase     `json:"phase"`          // of the MCIS
	Node    string    `json:"node,omitempty"` // empty: the event is about the MCIS or a region
	Cloud   string    `json:"cloud,omitempty"`
	Region  string    `json:"region,omitempty"`
	Step    string    `json:"step"` // "plan", "network", "vm", "join", "delete", "done"
	Message string    `json:"message"`
	// Gone is set on the last event of an MCIS whose delete is complete.
	Gone bool `json:"gone,omitempty"`
}
