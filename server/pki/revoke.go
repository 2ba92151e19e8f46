package pki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cbnet-io/cbnet/identity"
	"github.com/cbnet-io/cbnet/store/kv"
)

const keyRevocations = "pki/revocations"

// storedList is the revocation list as the store holds it.
type storedList struct {
	Format  int                `json:"format"`
	Number  uint64             `json:"number"`
	Entries []identity.Revoked `json:"entries"`
	Signed  []byte             `json:"signed"`
}

// revocation returns the operations that put all the record's certificates on
// the list, and drops them from the record; none if there are none. The caller
// commits them together with the record and calls RefreshRevocations then.
func (s *Service) revocation(ctx context.Context, rec *nodeRecord) ([]kv.Op, error) {
	now := s.now()
	rec.Issued = slices.DeleteFunc(rec.Issued, func(i issued) bool { return i.Expires.Before(now) })
	if len(rec.Issued) == 0 {
		return nil, nil
	}
	var l storedList
	rev, err := load(ctx, s.store, keyRevocations, &l)
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	l.Entries = slices.DeleteFunc(l.Entries, func(e identity.Revoked) bool { return e.Expires.Before(now) })
	for _, i := range rec.Issued {
		l.Entries = append(l.Entries, identity.Revoked{Node: rec.Node, Serial: i.Serial, Expires: i.Expires})
	}
	l.Format, l.Number = identity.Format, l.Number+1
	l.Signed, err = s.ca.SignRevocations(identity.RevocationList{Number: l.Number, Issued: now.UTC().Truncate(time.Second), Entries: l.Entries})
	if err != nil {
		return nil, err
	}
	rec.Issued = nil
	op, err := save(keyRevocations, l, rev)
	if err != nil {
		return nil, err
	}
	return []kv.Op{op}, nil
}

// RefreshRevocations puts the stored list in force here and tells Revoked if
// that changed anything. Another server may have written it.
func (s *Service) RefreshRevocations(ctx context.Context) error {
	var l storedList
	rev, err := load(ctx, s.store, keyRevocations, &l)
	if err != nil || rev == 0 {
		return err
	}
	changed, err := s.roots.Apply(l.Signed)
	if errors.Is(err, identity.ErrOutdated) {
		return nil // a later one came between reading and here
	}
	if err != nil {
		return err
	}
	if changed {
		select {
		case s.revoked <- struct{}{}:
		default:
		}
	}
	return nil
}

// Revoked receives after the revocation list changed; it has one reader, which
// takes the list from Roots and spreads it.
func (s *Service) Revoked() <-chan struct{} { return s.revoked }

// Remove ends a node's membership: its token is void, every certificate that
// was issued in its name is revoked, its address is free. A node that does not
// exist is no error.
//
// The record is first marked as gone, together with the new list, and only then
// removed: an enrolment that runs at the same time either is on the list or
// finds the mark.
func (s *Service) Remove(ctx context.Context, node string) error {
	known := false
	err := retry(ctx, func() error {
		s.numbering.Lock() // the address may be given to another node only after the record is gone
		defer s.numbering.Unlock()
		rec, rev, err := s.node(ctx, node)
		if err != nil || rev == 0 {
			return err
		}
		if rec.Own {
			return ErrOwn
		}
		known = true
		ops, err := s.revocation(ctx, &rec)
		if err != nil {
			return err
		}
		rec.Gone, rec.Open = true, false
		if err := s.commitNode(ctx, &rec, rev, ops...); err != nil {
			return err
		}
		return s.store.Txn(ctx, kv.Delete(prefixNodes+node), kv.Delete(prefixIPs+rec.IP.String()))
	})
	if err != nil {
		return fmt.Errorf("remove node %s: %w", node, err)
	}
	if !known {
		return nil
	}
	s.audit.add(ctx, s.now(), Entry{Action: "remove", Node: node, Outcome: Done})
	return s.RefreshRevocations(ctx)
}
