package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 8 << 20

// call is one request on its way through an action. The cloud is locked.
type call struct {
	*Cloud
	ctx  context.Context
	p    *project
	r    *http.Request
	body []byte
}

// action is an entry of the table of what the service does.
type action struct {
	id string // in the discovery document, without "compute."
	do func(*call) (any, error)
	// query are the parameters the action knows, but for those that all have.
	// Others are refused: better an error than a silent no.
	query string
	// writes is set where a second call may have another effect than the first.
	writes bool
	// blocks is called without the lock before the action is.
	blocks func(*call)
}

// common are the query parameters that every action knows.
var common = []string{"alt", "key", "prettyPrint", "quotaUser", "$alt", "$prettyPrint"}

// Handler returns the endpoint of the service.
func (c *Cloud) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, act := range actions() {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+apiPath+path, func(w http.ResponseWriter, r *http.Request) { c.serve(act, w, r) })
	}
	mux.HandleFunc("POST /token", c.token)
	mux.HandleFunc("POST "+batchPath, func(w http.ResponseWriter, r *http.Request) { serveBatch(mux, w, r) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Not Found", http.StatusNotFound) })
	return mux
}

// apiPath is below what the methods of the API are.
const apiPath = "/compute/v1/"

// serve answers one request: who asks, what for, and then the action itself
// under the faults in force.
func (c *Cloud) serve(act action, w http.ResponseWriter, r *http.Request) {
	body, err := c.admit(act, r)
	if err != nil {
		c.answer(w, act, nil, err)
		return
	}
	c.opts.Faults.Call(w, r, faults.Action{Name: act.id, Mutating: act.writes}, func(w http.ResponseWriter, r *http.Request) {
		out, err := c.perform(act, r, body)
		c.answer(w, act, out, err)
	})
}

// admit checks a request before anything is done, and returns its body.
func (c *Cloud) admit(act action, r *http.Request) ([]byte, error) {
	if err := c.authenticate(r); err != nil {
		return nil, err
	}
	if err := checkQuery(act, r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fault(http.StatusRequestEntityTooLarge, "uploadTooLarge", "Request is too large.")
	}
	if id := r.PathValue("project"); !projectRule.MatchString(id) {
		return nil, invalid("project", id, "Must be a match of regex '%s'", strings.Trim(projectRule.String(), "^$"))
	}
	return body, nil
}

// checkQuery refuses parameters that the action does not know.
func checkQuery(act action, r *http.Request) error {
	known := append(strings.Fields(act.query), common...)
	for name, values := range r.URL.Query() {
		if !slices.Contains(known, name) {
			return malformed("Invalid JSON payload received. Unknown name %q: Cannot bind query parameter. Field '%s' could not be found in request message.", name, name)
		}
		if len(values) > 1 {
			return malformed("Invalid value at '%s': it is not a list.", name)
		}
	}
	return nil
}

// perform does what was asked for, if it may be done at all.
func (c *Cloud) perform(act action, r *http.Request, body []byte) (any, error) {
	if c.opts.Faults.Throttled() {
		return nil, throttled()
	}
	// A client that goes away does not undo half a call.
	cl := &call{Cloud: c, ctx: context.WithoutCancel(r.Context()), r: r, body: body}
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.p = c.projectLocked(r.PathValue("project"))
	if act.blocks != nil {
		c.mu.Unlock()
		act.blocks(cl)
		c.mu.Lock()
	}
	c.settleLocked(cl.ctx)
	if act.id != "regions.get" && act.id != "zones.get" {
		if err := cl.checkPlace(); err != nil {
			return nil, err
		}
	}
	return act.do(cl)
}

// checkPlace checks the region or zone in which something is looked for.
func (c *call) checkPlace() error {
	if z := c.path("zone"); z != "" && !c.isZone(z) {
		return invalid("zone", z, "Unknown zone.")
	}
	if r := c.path("region"); r != "" && !c.isRegion(r) {
		return invalid("region", r, "Unknown region.")
	}
	return nil
}

// path returns a parameter of the path.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// query returns a parameter of the query.
func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// answer prints what came of a call.
func (c *Cloud) answer(w http.ResponseWriter, act action, out any, err error) {
	status := http.StatusOK
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = fault(http.StatusInternalServerError, "backendError", "Internal error: %v", err)
		}
		status, out = e.status, e.doc()
		c.opts.Log.Debug("call refused", "action", act.id, "status", status, "err", err)
	}
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// decode reads a request's body, which must not have a field that is unknown.
func decode(c *call, into any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return malformed("Required 'resource' parameter is missing")
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if field, ok := unknownField(err); ok {
		return malformed("Invalid JSON payload received. Unknown name \"%s\" at 'resource': Cannot find field.", field)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return malformed("Invalid value at 'resource.%s' (%s), %s", wrong.Field, wrong.Type, wrong.Value)
	}
	if err != nil {
		return malformed("Invalid JSON payload received. %v", err)
	}
	if d.More() {
		return malformed("Invalid JSON payload received. Expected end of input")
	}
	return nil
}

// unknownField finds the field that a strict decoder did not know; the standard
// library has no error of a type for it.
func unknownField(err error) (string, bool) {
	if err == nil {
		return "", false
	}
	field, ok := strings.CutPrefix(err.Error(), `json: unknown field "`)
	return strings.TrimSuffix(field, `"`), ok
}
