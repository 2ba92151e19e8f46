package alibaba

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// maxBody bounds a request's form, in bytes.
const maxBody = 1 << 20

// Versions of the two APIs, which tell them apart.
const (
	versionECS = "2014-05-26"
	versionVPC = "2016-04-28"
)

// obj is a JSON object of an answer.
type obj map[string]any

// call is one request on its way through an action. The cloud is locked.
type call struct {
	*Cloud
	ctx context.Context
	r   *region
	q   query
}

// action is an entry of the table of what the services do.
type action struct {
	do func(*call) (obj, error)
	// params are the parameters the action knows beside common; those that
	// must be there begin with an asterisk. Others are refused.
	params string
	// writes is set where a second call may have another effect than the first.
	writes bool
}

// common are the parameters that every action knows.
var common = []string{
	"Action", "Version", "Format", "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureType",
	"SignatureNonce", "Timestamp", "SecurityToken", "RegionId", "ClientToken", "DryRun", "AcceptLanguage",
}

// Handler returns the endpoint of both services, in all regions.
func (c *Cloud) Handler() http.Handler { return http.HandlerFunc(c.serve) }

// serve answers one request: who asks, what for, and then the action itself
// under the faults in force.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	name, act, cl, err := c.read(r)
	if err != nil {
		c.answer(w, r, name, nil, err)
		return
	}
	c.opts.Faults.Call(w, r, faults.Action{Name: name, Mutating: act.writes}, func(w http.ResponseWriter, r *http.Request) {
		out, err := c.perform(act, cl)
		c.answer(w, r, name, out, err)
	})
}

// perform runs an action. Throttling comes in the vendor's own form.
func (c *Cloud) perform(act action, cl *call) (obj, error) {
	if c.opts.Faults.Throttled() {
		if cl.q.str("Version") == versionVPC {
			return nil, fault(503, "Throttling.Api", "Request was denied due to api flow control.")
		}
		return nil, fault(400, "Throttling.User", "Request was denied due to user flow control.")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settleLocked(cl.ctx)
	dry, err := cl.q.boolean("DryRun", false)
	switch {
	case err != nil:
		return nil, err
	case dry:
		return nil, fault(400, "UnsupportedParameter", "DryRun is not simulated.")
	case act.writes:
		return cl.once(act.do)
	}
	return act.do(cl)
}

// answer prints what came of a call.
func (c *Cloud) answer(w http.ResponseWriter, r *http.Request, name string, out obj, err error) {
	id := strings.ToUpper(uuid.NewString())
	status := http.StatusOK
	var e *apiError
	switch {
	case err == nil:
		whole := obj{"RequestId": id}
		for k, v := range out {
			whole[k] = v
		}
		out = whole
	case errors.As(err, &e):
	default:
		e = &apiError{500, "InternalError", "The request processing has failed due to some unknown error: " + err.Error()}
	}
	if e != nil {
		c.opts.Log.Debug("call refused", "action", name, "status", e.status, "err", err)
		status = e.status
		out = obj{
			"RequestId": id, "HostId": r.Host, "Code": e.code, "Message": e.message,
			"Recommend": "https://api.alibabacloud.com/troubleshoot?q=" + e.code,
		}
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("X-Acs-Request-Id", id)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the client may be gone
}

// read finds out who asks for what.
func (c *Cloud) read(r *http.Request) (string, action, *call, error) {
	fail := func(name string, err error) (string, action, *call, error) { return name, action{}, nil, err }
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return fail("", err)
	case len(body) > maxBody:
		return fail("", fault(413, "RequestEntityTooLarge", "The request is too large."))
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return fail("", fault(405, "UnsupportedHTTPMethod", "The HTTP method %s is not supported.", r.Method))
	}
	form := ""
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form = string(body)
	}
	q, err := decodeQuery(r.URL.RawQuery, form)
	if err != nil {
		return fail("", err)
	}
	if err := c.verify(r, body, q); err != nil {
		return fail("", err)
	}
	act, err := c.lookUp(q)
	name := q.str("Action")
	if err != nil {
		return fail(name, err)
	}
	region, err := c.regionOf(q)
	if err != nil {
		return fail(name, err)
	}
	// A client that goes away does not undo half a call.
	return name, act, &call{Cloud: c, ctx: context.WithoutCancel(r.Context()), r: region, q: q}, nil
}

// lookUp finds an action and checks the names of a request's parameters.
func (c *Cloud) lookUp(q query) (action, error) {
	name, version := q.str("Action"), q.str("Version")
	if f := q.str("Format"); f != "" && !strings.EqualFold(f, "JSON") {
		return action{}, fault(400, "UnsupportedParameter", "Format %q is not simulated.", f)
	}
	service := map[string]string{versionECS: "ecs", versionVPC: "vpc"}[version]
	if service == "" {
		return action{}, fault(404, "InvalidVersion", "Specified parameter Version is not valid.")
	}
	act, ok := c.actions[service+" "+name]
	if !ok {
		return action{}, fault(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	}
	known := strings.Fields(act.params)
	for _, k := range sortedKeys(q) {
		if t := top(k); !slices.Contains(common, k) && !slices.Contains(known, t) && !slices.Contains(known, "*"+t) {
			return action{}, fault(400, "UnsupportedParameter", "The parameter %.60s of %s is not simulated.", k, name)
		}
	}
	for _, k := range known {
		if k, required := strings.CutPrefix(k, "*"); required && q.str(k) == "" && len(q.list(k)) == 0 {
			return action{}, missing(k)
		}
	}
	return act, nil
}
