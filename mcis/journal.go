package mcis

import (
	"context"
	"encoding/json"
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

// loadEntries reads the journal of an MCIS, by entry ID.
func (s *Service) loadEntries(ctx context.Context, name string) (map[string]*entry, error) {
	items, err := s.store.List(ctx, journalOf(name))
	if err != nil {
		return nil, fmt.Errorf("journal of mcis %s: %w", name, err)
	}
	out := make(map[string]*entry, len(items))
	for _, item := range items {
		e := &entry{}
		if err := decode(item, e); err != nil {
			return nil, err
		}
		out[e.ID] = e
	}
	return out, nil
}

// sealRequest returns the sealed JSON of a request.
func (s *Service) sealRequest(v any) ([]byte, error) {
	sealed, err := s.store.Seal(encode(v))
	if err != nil {
		return nil, fmt.Errorf("seal request: %w", err)
	}
	return sealed, nil
}

// openRequest reads back the request of an entry.
func (s *Service) openRequest(e *entry, v any) error {
	plain, err := s.store.Unseal(e.Request)
	if err != nil {
		return fmt.Errorf("journal entry %s: %w", e.ID, err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return fmt.Errorf("journal entry %s: %w", e.ID, err)
	}
	return nil
}
