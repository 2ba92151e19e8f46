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
	Changes     []Change `json:"changes" nullable:"false" doc:"in the order they would be made"`
	CostPerHour float64  `json:"costPerHour" doc:"list price of all machines afterwards, US dollars an hour, as far as prices are known"`
	Warnings    []string `json:"warnings,omitempty"`
}

// Change is one thing that an apply would create or delete.
type Change struct {
	Action      string  `json:"action" enum:"create,delete,keep,replace"`
	Kind        string  `json:"kind" enum:"network,vm"`
	Name        string  `json:"name"`
	Group       string  `json:"group,omitempty"`
	Cloud       string  `json:"cloud"`
	Region      string  `json:"region,omitempty"`
	Spec        string  `json:"spec,omitempty" doc:"machine type, the cloud's own name"`
	Image       string  `json:"image,omitempty" doc:"image id, the cloud's own"`
	CostPerHour float64 `json:"costPerHour,omitempty" doc:"US dollars"`
}

// PlanList is the answer of POST /v1/plan.
type PlanList struct {
	Plans []Plan `json:"plans" nullable:"false"`
}

// Run is one apply or delete of one MCIS that the server has taken on.
type Run struct {
	Name  string `json:"name" doc:"of the MCIS"`
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
	Name    string `json:"name"`
	Phase   string `json:"phase" enum:"planning,applying,ready,degraded,deleting,failed"`
	Reason  string `json:"reason,omitempty"`
	Desired int    `json:"desired" doc:"nodes asked for"`
	Ready   int    `json:"ready" doc:"nodes that have joined the mesh"`
	Nodes   []Node `json:"nodes" nullable:"false"`
}

// Node is one machine of an MCIS.
type Node struct {
	Name        string  `json:"name"`
	Group       string  `json:"group"`
	Cloud       string  `json:"cloud"`
	Region      string  `json:"region"`
	ID          string  `json:"id" doc:"the cloud's id of the VM"`
	IP          string  `json:"ip" doc:"overlay address"`
	PublicIP    string  `json:"publicIp"`
	PrivateIP   string  `json:"privateIp"`
	Phase       string  `json:"phase"`
	Reason      string  `json:"reason"`
	CostPerHour float64 `json:"costPerHour" doc:"US dollars; 0 where it is not known"`
}

// MCISList is the answer of GET /v1/mcis.
type MCISList struct {
	MCIS []MCIS `json:"mcis" nullable:"false"`
}

// Event is one line of progress of an MCIS.
type Event struct {
	Number uint64    `json:"number" doc:"rises by the MCIS; what Last-Event-ID resumes from"`
	Time   time.Time `json:"time"`
	MCIS   string    `json:"mcis"`
	Phase  string    `json:"phase,omitempty" doc:"phase of the MCIS after the event"`
	Node   string    `json:"node,omitempty" doc:"whom it is about; empty: the MCIS itself"`
	Cloud  string    `json:"cloud,omitempty"`
	Region string    `json:"region,omitempty"`
	Step   string    `json:"step,omitempty" doc:"network, vm, join, delete, ..."`
	Text   string    `json:"text,omitempty" doc:"what happened"`
	Error  string    `json:"error,omitempty"`
	Done   bool      `json:"done,omitempty" doc:"last event of the run: the phase is final"`
}
