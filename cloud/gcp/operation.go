package gcp

import (
	"fmt"
	"slices"
	"strings"
	"time"

	compute "cloud.google.com/go/compute/apiv1"
	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/protobuf/proto"

	"github.com/cbnet-io/cbnet/cloud"
)

// waitPause is the pause after a wait that ended before its operation.
const waitPause = time.Second

// finish waits for the operation that a call has begun and returns its failure.
func (s *session) finish(call string, made *compute.Operation, err error) error {
	if err != nil {
		return wrap(call, err)
	}
	op, err := s.wait(made.Proto())
	if err != nil {
		return err
	}
	return failure(call, op)
}

// wait returns an operation when it has ended, whether or not it has failed. The
// API holds the answer back until then, for two minutes at most.
func (s *session) wait(op *computepb.Operation) (*computepb.Operation, error) {
	for begin := true; op.GetStatus() != computepb.Operation_DONE; begin = false {
		if !begin {
			pause := time.NewTimer(waitPause)
			select {
			case <-pause.C:
			case <-s.ctx.Done():
				pause.Stop()
				return nil, fmt.Errorf("operation %s: %w: %w", op.GetName(), cloud.ErrUnavailable, s.ctx.Err())
			}
		}
		var err error
		if op, err = s.waitOnce(op); err != nil {
			return nil, err
		}
	}
	return op, nil
}

func (s *session) waitOnce(op *computepb.Operation) (*computepb.Operation, error) {
	switch {
	case op.GetZone() != "":
		c, err := s.zoneOperations()
		if err != nil {
			return nil, err
		}
		op, err = c.Wait(s.ctx, &computepb.WaitZoneOperationRequest{Project: s.project, Zone: last(op.GetZone()), Operation: op.GetName()})
		return op, wrap("zoneOperations.wait", err)
	case op.GetRegion() != "":
		c, err := s.regionOperations()
		if err != nil {
			return nil, err
		}
		op, err = c.Wait(s.ctx, &computepb.WaitRegionOperationRequest{Project: s.project, Region: last(op.GetRegion()), Operation: op.GetName()})
		return op, wrap("regionOperations.wait", err)
	}
	c, err := s.globalOperations()
	if err != nil {
		return nil, err
	}
	op, err = c.Wait(s.ctx, &computepb.WaitGlobalOperationRequest{Project: s.project, Operation: op.GetName()})
	return op, wrap("globalOperations.wait", err)
}

// Filters of lists of operations.
const (
	underWay   = `status != "DONE"`
	unfinished = `(status != "DONE") OR (httpErrorStatusCode >= 400)` // under way or failed
)

// operations lists the operations of all places that a filter selects.
func (s *session) operations(filter string) ([]*computepb.Operation, error) {
	c, err := s.globalOperations()
	if err != nil {
		return nil, err
	}
	it := c.AggregatedList(s.ctx, &computepb.AggregatedListGlobalOperationsRequest{Project: s.project, Filter: proto.String(filter)})
	var out []*computepb.Operation
	err = each(it.Next, func(p compute.OperationsScopedListPair) { out = append(out, p.Value.GetOperations()...) })
	return out, wrap("globalOperations.aggregatedList", err)
}

// zoneOperationsOf lists the operations of a zone that are under way or have
// failed.
func (s *session) zoneOperationsOf(zone string) ([]*computepb.Operation, error) {
	c, err := s.zoneOperations()
	if err != nil {
		return nil, err
	}
	it := c.List(s.ctx, &computepb.ListZoneOperationsRequest{Project: s.project, Zone: zone, Filter: proto.String(unfinished)})
	var out []*computepb.Operation
	err = each(it.Next, func(op *computepb.Operation) { out = append(out, op) })
	return out, wrap("zoneOperations.list", err)
}

// deletes reports whether op is a deletion under way of the target of that id.
func deletes(op *computepb.Operation, id uint64) bool {
	return op.GetStatus() != computepb.Operation_DONE && strings.HasSuffix(op.GetOperationType(), "delete") && op.GetTargetId() == id
}

// vanished reports whether op is the failed creation of a machine.
func vanished(op *computepb.Operation) bool {
	return op.GetStatus() == computepb.Operation_DONE && op.GetOperationType() == "insert" &&
		strings.Contains(op.GetTargetLink(), "/instances/") && failure("", op) != nil
}

// beingDeleted reports whether a deletion of the machine is under way.
func (s *session) beingDeleted(zone string, id uint64) (bool, error) {
	ops, err := s.zoneOperationsOf(zone)
	return slices.ContainsFunc(ops, func(op *computepb.Operation) bool { return deletes(op, id) }), err
}
