package api

import "time"

// SpecFile is a YAML file with one or more documents of kind MCIS, as plan and
// apply take it.
type SpecFile struct {
	File string `json:"file" maxLength:"1024" doc:"name that faults are reported with, FILE:LINE"`
	YAML string `json:"yaml" maxLength:"1048576" doc:"content of the file"`
}

// Plan says what an apply of one MCIS would do.
type Plan struct {
	Name        string   `json:"name"`
	Changes     []Change `json:"changes" nullable:"false" doc:"by cloud and region, network first"`
	CostPerHour float64  `json:"costPerHour" doc:"list price of all nodes afterwards whose price is known, US dollars an hour"`
	Unpriced    int      `json:"unpriced" doc:"nodes whose price is not known"`
}

// Change is one thing that an apply would make, keep or remove.
type Change struct {
	Action      string   `json:"action" enum:"create,change,keep,replace,delete"`
	Kind        string   `json:"kind" enum:"network,vm"`
	Name        string   `json:"name"`
	Group       string   `json:"group,omitempty"`
	Cloud       string   `json:"cloud"`
	Region      string   `json:"region"`
	Spec        string   `json:"spec,omitempty" doc:"machine type, the cloud's own name"`
	Image       string   `json:"image,omitempty"`
	ImageID     string   `json:"imageId,omitempty" doc:"the cloud's own"`
	CIDR        string   `json:"cidr,omitempty" doc:"of a network"`
	Egress      string   `json:"egress,omitempty" doc:"of a network: the vendor's name of the way out of machines without a public address"`
	PrivateIP   string   `json:"privateIp,omitempty"`
	PublicIP    bool     `json:"publicIp,omitempty"`
	CostPerHour *float64 `json:"costPerHour,omitempty" doc:"US dollars"`
	Reason      string   `json:"reason,omitempty" doc:"of a change, replace or delete; what a keep does not do"`
}

// PlanList is the answer of POST /v1/plan.
type PlanList struct {
	Plans []Plan `json:"plans" nullable:"false"`
}

// Run is one apply or delete of one MCIS that the server has taken on.
type Run struct {
	Name  string `json:"name" doc:"of the MCIS"`
	Run   int    `json:"run" doc:"number of the run; it only rises"`
	After uint64 `json:"after" doc:"number of the last event before the run: watch from here"`
}

// RunList is the answer of POST /v1/mcis.
type RunList struct {
	Runs []Run `json:"runs" nullable:"false"`
}

// The phases of an MCIS.
const (
	PhasePlanning = "planning"
	PhaseApplying = "applying"
	PhaseReady    = "ready"
	PhaseDegraded = "degraded"
	PhaseDeleting = "deleting"
	PhaseFailed   = "failed"
)

// MCIS is the status of a multi-cloud infrastructure service.
type MCIS struct {
	Name    string    `json:"name"`
	UID     string    `json:"uid"`
	Run     int       `json:"run" doc:"number of the last apply or delete; it only rises"`
	Phase   string    `json:"phase" enum:"planning,applying,ready,degraded,deleting,failed"`
	Reason  string    `json:"reason,omitempty"`
	Desired int       `json:"desired" doc:"nodes asked for"`
	Ready   int       `json:"ready" doc:"nodes that are in the mesh"`
	Since   time.Time `json:"since" doc:"begin of the run"`
	Nodes   []Node    `json:"nodes" nullable:"false"`
}

// Node is one machine of an MCIS.
type Node struct {
	Name        string            `json:"name"`
	Group       string            `json:"group"`
	Cloud       string            `json:"cloud"`
	Region      string            `json:"region"`
	Zone        string            `json:"zone,omitempty"`
	ID          string            `json:"id" doc:"the cloud's id of the machine"`
	IP          string            `json:"ip" doc:"overlay address"`
	PublicIP    string            `json:"publicIp"`
	PrivateIP   string            `json:"privateIp" doc:"in the cloud's subnet"`
	Phase       string            `json:"phase" enum:"planned,creating,joining,ready,unreachable,failed,deleting"`
	Reason      string            `json:"reason"`
	Console     string            `json:"console,omitempty" doc:"last lines of a failed machine"`
	CostPerHour *float64          `json:"costPerHour" doc:"US dollars; null where it is not known"`
	Labels      map[string]string `json:"labels,omitempty"`
}

// MCISList is the answer of GET /v1/mcis.
type MCISList struct {
	MCIS []MCIS `json:"mcis" nullable:"false"`
}

// Event is one line of progress of an MCIS.
type Event struct {
	Number  uint64    `json:"number" doc:"only rises; what Last-Event-ID resumes from"`
	Time    time.Time `json:"time"`
	MCIS    string    `json:"mcis"`
	Run     int       `json:"run"`
	Phase   string    `json:"phase" doc:"of the MCIS"`
	Node    string    `json:"node,omitempty" doc:"empty: the event is about the MCIS or a region"`
	Cloud   string    `json:"cloud,omitempty"`
	Region  string    `json:"region,omitempty"`
	Step    string    `json:"step" doc:"plan, network, vm, join, delete, done; state: where things stand, after events may have been missed"`
	Message string    `json:"message"`
	Done    bool      `json:"done,omitempty" doc:"last event of the run"`
	Gone    bool      `json:"gone,omitempty" doc:"nothing is left of the MCIS"`
}
