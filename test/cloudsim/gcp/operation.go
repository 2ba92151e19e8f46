package gcp

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// operation is a change under way, or one that is done.
type operation struct {
	header
	kind     string // "insert", "delete", ...
	target   string // path of the resource
	targetID uint64
	request  string    // request id of the caller, "" for none
	ready    time.Time // when it ends, unless poll says otherwise
	// poll says whether an operation on a machine has ended, and with what
	// failure.
	poll func(context.Context) (bool, *apiError)
	// finish is called once, at the end, if the operation did not fail.
	finish func(context.Context) error

	done    bool
	ended   time.Time
	failure *apiError
}

// begin starts an operation on a resource.
func (c *call) begin(kind string, target *header) *operation {
	now := c.now()
	op := &operation{
		kind: kind, target: target.path, targetID: target.id, request: c.query("requestId"), ready: now.Add(c.opts.OpTime),
	}
	op.id = c.newIDLocked()
	op.name = fmt.Sprintf("operation-%d-%x-%x", now.UnixMilli(), op.id, stableID(target.path)&0xffffffff)
	op.path = scopeOf(target.path) + "/operations/" + op.name
	op.created = now
	c.p.operations.Put(op.path, op)
	if op.request != "" {
		c.p.requests[op.request] = request{call: c.r.Method + " " + c.r.URL.Path, op: op, at: now}
	}
	return op
}

// again answers a call whose request id was used before, with its operation. It
// also refuses ids that are none.
func (c *call) again() (*operation, error) {
	id := c.query("requestId")
	if id == "" {
		return nil, nil
	}
	if !uuidRule.MatchString(id) || strings.Trim(id, "0-") == "" {
		return nil, invalid("requestId", id, "Must be a valid non-zero UUID.")
	}
	old, ok := c.p.requests[id]
	switch {
	case !ok:
		return nil, nil
	case c.now().Sub(old.at) > c.opts.RequestLife:
		delete(c.p.requests, id)
		return nil, nil
	case old.call != c.r.Method+" "+c.r.URL.Path:
		return nil, invalid("requestId", id, "The request ID was used for another request.")
	}
	return old.op, nil
}

// uuidRule is the form of a request id.
var uuidRule = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// settle ends the operations whose time has come.
func (p *project) settle(ctx context.Context) {
	p.settleMachines(ctx)
	for _, op := range p.operations.All() {
		if op.done {
			continue
		}
		if err := p.settleOne(ctx, op); err != nil {
			p.opts.Log.Error("operation not settled", "project", p.id, "op", op.name, "err", err)
		}
	}
}

func (p *project) settleOne(ctx context.Context, op *operation) error {
	now := p.now()
	ended := !now.Before(op.ready)
	if op.poll != nil {
		ended, op.failure = op.poll(ctx)
	}
	if !ended {
		return nil
	}
	op.done, op.ended = true, now
	if op.finish == nil || op.failure != nil {
		return nil
	}
	return op.finish(ctx)
}

type operationDoc struct {
	Kind          string          `json:"kind"`
	ID            uint64          `json:"id,string"`
	Name          string          `json:"name"`
	Zone          string          `json:"zone,omitempty"`
	Region        string          `json:"region,omitempty"`
	ClientID      string          `json:"clientOperationId,omitempty"`
	OperationType string          `json:"operationType"`
	TargetLink    string          `json:"targetLink"`
	TargetID      uint64          `json:"targetId,string"`
	Status        string          `json:"status"`
	User          string          `json:"user"`
	Progress      int             `json:"progress"`
	InsertTime    string          `json:"insertTime"`
	StartTime     string          `json:"startTime"`
	EndTime       string          `json:"endTime,omitempty"`
	Error         *operationError `json:"error,omitempty"`
	HTTPStatus    int             `json:"httpErrorStatusCode,omitempty"`
	HTTPMessage   string          `json:"httpErrorMessage,omitempty"`
	SelfLink      string          `json:"selfLink"`
}

type operationError struct {
	Errors []operationErrorItem `json:"errors"`
}

type operationErrorItem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (p *project) operationDoc(op *operation) operationDoc {
	d := operationDoc{
		Kind: "compute#operation", ID: op.id, Name: op.name, ClientID: op.request, OperationType: op.kind,
		TargetLink: p.link(op.target), TargetID: op.targetID, Status: "RUNNING", User: serviceAccount(p.opts.Project),
		InsertTime: stamp(op.created), StartTime: stamp(op.created), EndTime: stamp(op.ended), SelfLink: p.link(op.path),
	}
	switch scope := scopeOf(op.path); {
	case strings.HasPrefix(scope, "zones/"):
		d.Zone = p.link(scope)
	case strings.HasPrefix(scope, "regions/"):
		d.Region = p.link(scope)
	}
	if op.done {
		d.Status, d.Progress = "DONE", 100
	}
	if e := op.failure; e != nil {
		d.Error = &operationError{[]operationErrorItem{{e.reason, e.message}}}
		d.HTTPStatus, d.HTTPMessage = e.status, strings.ToUpper(http.StatusText(e.status))
	}
	return d
}

// operationPath is the path of the operation that a call names.
func (c *call) operationPath() string { return c.scope() + "/operations/" + c.path("operation") }

// scope is the scope that a call's path names.
func (c *call) scope() string {
	switch {
	case c.path("zone") != "":
		return "zones/" + c.path("zone")
	case c.path("region") != "":
		return "regions/" + c.path("region")
	}
	return "global"
}

func getOperation(c *call) (any, error) {
	return get(c, &c.p.operations, c.operationPath(), c.p.operationDoc)
}

// waitLimit is how long a wait for an operation lasts at most.
const waitLimit = 2 * time.Minute

// waitTick is the pause between two looks at an operation.
const waitTick = 2 * time.Millisecond

// awaitOperation returns when an operation has ended, the client has gone or
// the limit is reached.
func awaitOperation(c *call) {
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	tick := time.NewTicker(waitTick)
	defer tick.Stop()
	for {
		c.mu.Lock()
		c.p.settle(c.ctx)
		op, ok := c.p.operations.Get(c.operationPath())
		ended := !ok || op.done
		c.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return
		case <-c.r.Context().Done():
			return
		}
	}
}

func listOperations(c *call) (any, error) {
	scope := c.scope()
	rows := c.p.operations.Where(func(o *operation) bool { return scopeOf(o.path) == scope })
	return listOf(c, "compute#operationList", scope+"/operations", rows, c.p.operationDoc)
}

func aggregateOperations(c *call) (any, error) {
	return aggregate(c, "compute#operationAggregatedList", "operations", "operations", c.p.operations.All(),
		func(o *operation) string { return scopeOf(o.path) }, c.p.operationDoc)
}

// deleteOperation forgets an operation, which must have ended.
func deleteOperation(c *call) (any, error) {
	op, err := find(c, &c.p.operations, c.operationPath())
	if err != nil {
		return nil, err
	}
	if !op.done {
		return nil, notReady(c.p.resource(op.path))
	}
	c.p.operations.Delete(op.path)
	return nil, nil
}
