package gcp

import (
	"context"
	"net/http"

	"github.com/cbnet-io/cbnet/test/cloudsim/sim"
)

// insertion is what is particular to the insertion of one kind of resource.
type insertion struct {
	body  any                     // what the request is decoded into
	check func() (*header, error) // reads the body; the header needs a name and a path only
	taken func() bool             // whether the path is
	admit func() error            // what else must hold: quotas, conflicts
	put   func() error            // the resource goes into its table
}

// insert is the course of every insertion.
func (c *call) insert(i insertion) (any, error) {
	if op, err := c.again(); op != nil || err != nil {
		return c.reply(op, err)
	}
	if err := decode(c, i.body); err != nil {
		return nil, err
	}
	h, err := i.check()
	if err != nil {
		return nil, err
	}
	if err := checkName(h.name); err != nil {
		return nil, err
	}
	if i.taken() {
		return nil, fault(http.StatusConflict, "alreadyExists", "The resource '%s' already exists", c.p.resource(h.path))
	}
	if err := i.admit(); err != nil {
		return nil, err
	}
	h.id, h.created = c.newIDLocked(), c.now()
	op := c.begin("insert", h)
	h.busy = op
	op.finish = func(context.Context) error { h.busy = nil; return nil }
	return c.reply(op, i.put())
}

// reply prints an operation.
func (c *call) reply(op *operation, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return c.p.operationDoc(op), nil
}

// has reports whether a table has a path.
func has[T any](t *sim.Table[T], path string) bool {
	_, ok := t.Get(path)
	return ok
}

// find returns the resource of a path.
func find[T any](c *call, t *sim.Table[T], path string) (T, error) {
	row, ok := t.Get(path)
	if !ok {
		return row, notFound(c.p.resource(path))
	}
	return row, nil
}

// get answers with one resource.
func get[T, D any](c *call, t *sim.Table[T], path string, doc func(T) D) (any, error) {
	row, err := find(c, t, path)
	if err != nil {
		return nil, err
	}
	return doc(row), nil
}

// ready checks that nothing is under way on a resource.
func (c *call) ready(h *header) error {
	if h.busy != nil {
		return notReady(c.p.resource(h.path))
	}
	return nil
}

// change is the course of every change of a resource that exists: apply does it,
// and the resource is not ready until the operation ends.
func (c *call) change(kind string, h *header, apply func() error) (any, error) {
	if op, err := c.again(); op != nil || err != nil {
		return c.reply(op, err)
	}
	if err := c.ready(h); err != nil {
		return nil, err
	}
	if err := apply(); err != nil {
		return nil, err
	}
	op := c.begin(kind, h)
	h.busy = op
	op.finish = func(context.Context) error { h.busy = nil; return nil }
	return c.reply(op, nil)
}

// remove is the course of every deletion: check says what stands against it,
// gone takes the resource out of its table when the operation ends.
func (c *call) remove(h *header, check func() error, gone func(context.Context) error) (any, error) {
	if op, err := c.again(); op != nil || err != nil {
		return c.reply(op, err)
	}
	if err := c.ready(h); err != nil {
		return nil, err
	}
	if err := check(); err != nil {
		return nil, err
	}
	op := c.begin("delete", h)
	h.busy = op
	op.finish = gone
	return c.reply(op, nil)
}

// checkQuota bounds how many of a kind there may be; region is "" for what is
// global.
func (c *call) checkQuota(kind, metric, region string, have int) error {
	where := "globally"
	if region != "" {
		where = "in region " + region
	}
	if limit, ok := c.opts.Faults.Quota(Name, region, kind); ok && have >= limit {
		return quotaExceeded(metric, limit, where)
	}
	return nil
}
