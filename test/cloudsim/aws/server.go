package aws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// call is one request on its way through an action. The cloud is locked.
type call struct {
	*Cloud
	ctx context.Context
	r   *region
	q   *node
}

// action is an entry of the table of what the service does.
type action struct {
	do func(*call) (any, error)
	// params are the parameters the action knows, but for those that all have
	// (see common). Others are refused: better an error than a silent no.
	params string
	// writes is set where a second call may have another effect than the first.
	writes bool
	// version is the API version where it is not EC2's (the token service).
	version string
}

// apiVersion is the version of the EC2 API that is served.
const apiVersion = "2016-11-15"

// common are the parameters that every action knows.
const common = "Action Version DryRun"

// Handler returns the endpoint of the service, EC2 in all regions and what of
// the token service tells who the caller is.
func (c *Cloud) Handler() http.Handler { return http.HandlerFunc(c.serve) }

// serve answers one request: who asks, what for, and then the action itself
// under the faults in force.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	name, act, cl, err := c.read(r)
	if err != nil {
		c.answer(w, name, nil, err)
		return
	}
	c.opts.Faults.Call(w, r, faults.Action{Name: name, Mutating: act.writes}, func(w http.ResponseWriter, r *http.Request) {
		out, err := c.perform(act, cl)
		c.answer(w, name, out, err)
	})
}

// answer prints what came of a call.
func (c *Cloud) answer(w http.ResponseWriter, name string, out any, err error) {
	id := uuid.NewString()
	status, body := http.StatusOK, []byte(nil)
	if err == nil {
		body, err = encodeAnswer(name, id, out)
	}
	if err != nil {
		status, body = failure(err, id)
		c.opts.Log.Debug("call refused", "action", name, "status", status, "err", err)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", id)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// failure prints an error's answer.
func failure(err error, requestID string) (int, []byte) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: 500, code: "InternalError", message: err.Error()}
	}
	body, err := encodeError(e, requestID)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return e.status, body
}

// read finds out who asks for what.
func (c *Cloud) read(r *http.Request) (string, action, *call, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return "", action{}, nil, err
	}
	if len(body) > maxBody {
		return "", action{}, nil, fault(413, "RequestEntityTooLarge", "Request is too large.")
	}
	sc, err := verify(r, body, c.opts.Key, c.now())
	if err != nil {
		return "", action{}, nil, err
	}
	raw := string(body)
	if r.Method == http.MethodGet {
		raw = r.URL.RawQuery
	}
	q, err := decodeQuery(raw)
	if err != nil {
		return "", action{}, nil, err
	}
	name := q.str("Action")
	act, err := lookUp(name, q)
	if err != nil {
		return name, action{}, nil, err
	}
	region, ok := c.regions[sc.region]
	if !ok {
		return name, action{}, nil, fault(401, "AuthFailure", "Credential should be scoped to a valid region.")
	}
	// A client that goes away does not undo half a call.
	return name, act, &call{Cloud: c, ctx: context.WithoutCancel(r.Context()), r: region, q: q}, nil
}

// lookUp finds an action and checks the names of a request's parameters.
func lookUp(name string, q *node) (action, error) {
	act, ok := actions()[name]
	if !ok {
		return action{}, fault(400, "InvalidAction", "The action %s is not valid for this web service.", name)
	}
	version := apiVersion
	if act.version != "" {
		version = act.version
	}
	if v := q.str("Version"); v != version {
		return action{}, fault(400, "InvalidParameterValue", "The version %s of the API is not served, %s is.", v, version)
	}
	known := map[string]bool{}
	for p := range strings.FieldsSeq(common + " " + act.params) {
		known[p] = true
	}
	for p := range q.below {
		if !known[p] {
			return action{}, fault(400, "UnknownParameter", "The parameter %s is not recognized", p)
		}
	}
	return act, nil
}

// perform runs an action under the lock.
func (c *Cloud) perform(act action, cl *call) (any, error) {
	if c.opts.Faults.Throttled() {
		return nil, fault(503, "RequestLimitExceeded", "Request limit exceeded.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(cl.ctx)
	return act.do(cl)
}

// dryRun ends an action whose parameters are fine when the caller only wanted
// to know that.
func (c *call) dryRun() error {
	dry, err := c.q.boolean("DryRun", false)
	if err == nil && dry {
		err = fault(412, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return err
}
