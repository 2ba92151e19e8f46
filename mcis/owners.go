package mcis

import (
	"context"
	"fmt"
	"strings"

	"github.com/cbnet-io/cbnet/cloud"
)

// Owners tells whose what a cloud lists is.
type Owners struct {
	byUID map[string]string // names of MCIS
	byID  map[string]string // likewise, by what their journals hold: ids and tokens
}

// NewOwners returns the owners of a server that knows the MCIS of these names,
// by uid, and has journaled nothing.
func NewOwners(byUID map[string]string) Owners { return Owners{byUID: byUID} }

// Of returns the name of the MCIS that an object belongs to: the one of its
// mark, or one whose journal holds its id or token. False: none that is known.
func (o Owners) Of(res cloud.Resource) (string, bool) {
	if name, ok := o.byUID[res.Owner.MCIS]; ok {
		return name, true
	}
	name, ok := o.byID[res.ID]
	if !ok && res.VM != nil && res.VM.Token != "" {
		name, ok = o.byID[res.VM.Token]
	}
	return name, ok
}

// Owners reads who owns what now. An object that a cloud listed before this
// call, and whose owner is not known by it, will never have one: an MCIS is in
// the store before anything of it is in a cloud and leaves it last, and its
// random uid is nobody else's.
func (s *Service) Owners(ctx context.Context) (Owners, error) {
	o := Owners{byUID: make(map[string]string), byID: make(map[string]string)}
	items, err := s.store.List(ctx, journalPrefix)
	if err != nil {
		return Owners{}, fmt.Errorf("journals: %w", err)
	}
	for _, item := range items {
		var e entry
		if err := decode(item, &e); err != nil {
			return Owners{}, err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(item.Key, journalPrefix), "/")
		ids := []string{e.CloudID, e.Token}
		if e.Network != nil {
			ids = append(ids, e.Network.ID, e.Network.SubnetID, e.Network.SecurityGroup)
		}
		for _, id := range ids {
			if id != "" {
				o.byID[id] = name
			}
		}
	}
	records, err := s.loadAll(ctx)
	if err != nil {
		return Owners{}, err
	}
	for _, r := range records {
		o.byUID[r.UID] = r.Name
	}
	return o, nil
}
