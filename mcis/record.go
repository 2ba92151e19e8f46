package mcis

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cbnet-io/cbnet/store/kv"
)

// recordFormat is the number of the format of all records of this package. A
// higher number than this is refused: it was written by a newer release.
const recordFormat = 1

// Keys of the store. Nodes and journal lie apart from the records, so that a
// list of all MCIS does not read them.
const (
	recordPrefix  = "mcis/record/"
	nodePrefix    = "mcis/node/"
	journalPrefix = "mcis/journal/"
)

func recordKey(name string) string           { return recordPrefix + name }
func nodesPrefix(name string) string         { return nodePrefix + name + "/" }
func nodeKey(name, node string) string       { return nodesPrefix(name) + node }
func journalOf(name string) string           { return journalPrefix + name + "/" }
func journalKey(name string, e entry) string { return journalOf(name) + e.ID }

// record is an MCIS in the store. It is written before anything else of the
// MCIS and removed after everything else.
type record struct {
	Format  int            `json:"format"`
	Name    string         `json:"name"`
	UID     string         `json:"uid"`
	Run     int            `json:"run"`
	Since   time.Time      `json:"since"`
	Phase   Phase          `json:"phase"`
	Reason  string         `json:"reason,omitempty"`
	Spec    Spec           `json:"spec"`
	Hash    string         `json:"hash"` // of the wish in Spec
	Regions []regionRecord `json:"regions,omitempty"`
	// Rollback is set when this run was given up, and says why.
	Rollback string `json:"rollback,omitempty"`
	// Past is the highest generation of any node that is no more. New nodes
	// begin above it: a cloud remembers the token of a machine longer than the
	// machine, and answers it with the dead one.
	Past int `json:"past,omitempty"`
	// Left says what the last run left undone though every node is ready.
	Left string `json:"left,omitempty"`
	// UpToDate is set when the nodes are those of Spec: planning succeeded.
	UpToDate bool `json:"upToDate,omitempty"`

	revision int64 // of the store, for the next update
}

// regionRecord is a place that was used. It stays until nothing of the MCIS is
// there any more.
type regionRecord struct {
	Cloud  string       `json:"cloud"`
	Region string       `json:"region"`
	CIDR   netip.Prefix `json:"cidr"`
	NAT    bool         `json:"nat,omitempty"`    // a group here wants egress: nat
	SSHKey string       `json:"sshKey,omitempty"` // of new machines here
}

// place is where a pipeline works.
type place struct{ Cloud, Region string }

// String returns "cloud/region".
func (p place) String() string { return p.Cloud + "/" + p.Region }

func (r regionRecord) place() place { return place{r.Cloud, r.Region} }

// nodeRecord is a node in the store.
type nodeRecord struct {
	Format      int        `json:"format"`
	Want        wantedNode `json:"want"`
	Generation  int        `json:"generation"` // of the machine; it only rises, also when the node goes and comes back
	Phase       NodePhase  `json:"phase"`
	Reason      string     `json:"reason,omitempty"`
	Console     string     `json:"console,omitempty"`
	ID          string     `json:"id,omitempty"` // of the machine
	Zone        string     `json:"zone,omitempty"`
	IP          netip.Addr `json:"ip,omitzero"`
	PublicIP    netip.Addr `json:"publicIp,omitzero"`
	CostPerHour *float64   `json:"costPerHour,omitempty"`
	Established bool       `json:"established"` // was ready at the end of a run: rollback leaves it alone
}

// newUID returns 16 random hex digits.
func newUID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// hash returns a digest of the wish, without File and Lines.
func (s Spec) hash() string {
	s.File, s.Lines = "", nil
	data, err := json.Marshal(s)
	if err != nil {
		return "" // a Spec has nothing that JSON refuses
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// decode reads a value of the store into v, which has a format number.
func decode(item kv.Item, v any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(item.Value, &head); err != nil {
		return fmt.Errorf("record %s: %w", item.Key, err)
	}
	if head.Format > recordFormat {
		return fmt.Errorf("record %s: format %d is newer than this release", item.Key, head.Format)
	}
	if err := json.Unmarshal(item.Value, v); err != nil {
		return fmt.Errorf("record %s: %w", item.Key, err)
	}
	return nil
}

// encode returns v as JSON. The values of this package always marshal; an
// error would be a fault of the program and shows as an empty value.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}

// load reads the record of an MCIS; ErrNotFound if there is none.
func (s *Service) load(ctx context.Context, name string) (*record, error) {
	item, err := s.store.Get(ctx, recordKey(name))
	if errors.Is(err, kv.ErrNotFound) {
		return nil, fmt.Errorf("mcis %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("mcis %s: %w", name, err)
	}
	r := &record{revision: item.Revision}
	return r, decode(item, r)
}

// loadAll reads all records, sorted by name.
func (s *Service) loadAll(ctx context.Context) ([]*record, error) {
	items, err := s.store.List(ctx, recordPrefix)
	if err != nil {
		return nil, fmt.Errorf("list mcis: %w", err)
	}
	var out []*record
	for _, item := range items {
		r := &record{revision: item.Revision}
		if err := decode(item, r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *record) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// loadNodes reads the nodes of an MCIS, by name.
func (s *Service) loadNodes(ctx context.Context, name string) (map[string]*nodeRecord, error) {
	items, err := s.store.List(ctx, nodesPrefix(name))
	if err != nil {
		return nil, fmt.Errorf("nodes of mcis %s: %w", name, err)
	}
	nodes := make(map[string]*nodeRecord, len(items))
	for _, item := range items {
		n := &nodeRecord{}
		if err := decode(item, n); err != nil {
			return nil, err
		}
		nodes[n.Want.Name] = n
	}
	return nodes, nil
}

func sortedNodes(nodes map[string]*nodeRecord) []string {
	return slices.Sorted(maps.Keys(nodes))
}
