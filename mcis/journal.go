package mcis

import (
	"fmt"
	"time"

	"github.com/cbnet-io/cbnet/cloud"
)

// State is what is known about the step of a journal entry.
type state string

const (
	stateOpen      state = "open"      // the call may have been made; nobody knows
	stateDone      state = "done"      // made, id recorded
	stateFailed    state = "failed"    // given up
	stateAbandoned state = "abandoned" // replaced by a newer generation
)

// entry is one step of the journal: written open before the call that changes
// a cloud, with the idempotency token and the exact request, and again after
// it with what came of it.
type entry struct {
	Format     int            `json:"format"`
	ID         string         `json:"id"` // "network/CLOUD/REGION" or "vm/NODE/GENERATION"
	Cloud      string         `json:"cloud"`
	Region     string         `json:"region"`
	Node       string         `json:"node,omitempty"`
	Generation int            `json:"generation,omitempty"`
	Token      string         `json:"token,omitempty"`
	State      state          `json:"state"`
	Request    []byte         `json:"request"` // cloud.NetworkSpec or cloud.VMSpec as JSON, sealed: it holds the node's token
	CloudID    string         `json:"cloudId,omitempty"`
	Network    *cloud.Network `json:"network,omitempty"` // of a network that is done
	Time       time.Time      `json:"time"`
	Error      string         `json:"error,omitempty"`
}

func networkEntryID(p place) string { return "network/" + p.String() }

func vmEntryID(node string, generation int) string {
	return fmt.Sprintf("vm/%s/%d", node, generation)
}

// uncertain reports whether the cloud may have done the step without our
// knowing the result.
func (e *entry) uncertain() bool { return e.State != stateDone && e.CloudID == "" }
