package openstack

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// maxBody is the most that a request may carry, in bytes.
const maxBody = 1 << 20

// call is one request on its way through a route. The cloud is locked.
type call struct {
	*Cloud
	ctx   context.Context
	req   *http.Request
	body  []byte
	micro version // of the compute API
}

// id returns the id in the request's path.
func (c *call) id() string { return c.req.PathValue("id") }

// answer is what a route returns: nil for a status without a body.
type answer struct {
	status int
	body   any
	header map[string]string
}

// route is an entry of the table of what the services do.
type route struct {
	service string // where its paths are and how its errors look: identity, compute, network, image
	method  string
	path    string // below the service
	do      func(*call) (answer, error)
	open    bool // needs no token
}

// name is what faults call the route: "POST /servers", the version aside.
func (r route) name() string {
	path := r.path
	for _, v := range []string{"/v2.1", "/v2.0", "/v2", "/v3"} {
		if rest, ok := strings.CutPrefix(path, v+"/"); ok {
			path = "/" + rest
			break
		}
	}
	return r.method + " " + path
}

// prefix returns where a service's paths begin.
func prefix(service string) string {
	return map[string]string{"identity": "", "compute": "/compute", "network": "/network", "image": "/image"}[service]
}

// Handler returns the endpoint of all services.
func (c *Cloud) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes() {
		pattern := prefix(r.service) + r.path
		h := func(w http.ResponseWriter, req *http.Request) { c.serve(w, req, r) }
		mux.HandleFunc(r.method+" "+pattern, h)
	}
	for _, service := range []string{"compute", "network", "image", "identity"} {
		mux.HandleFunc(prefix(service)+"/", func(w http.ResponseWriter, _ *http.Request) {
			writeError(w, service, &apiError{status: 404, kind: "HTTPNotFound", message: "The resource could not be found."})
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// Clients differ in slashes at the end; the services accept both.
		path := strings.TrimRight(req.URL.Path, "/")
		if path == "" || path == "/compute" || path == "/network" || path == "/image" {
			path += "/" // a service's own root
		}
		if path != req.URL.Path {
			req = req.Clone(req.Context())
			req.URL.Path, req.URL.RawPath = path, ""
		}
		mux.ServeHTTP(w, req)
	})
}

// serve answers one request of a route, under the faults in force.
func (c *Cloud) serve(w http.ResponseWriter, req *http.Request, r route) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fault(413, "Request is too large.")
	}
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	// To log in again is no change that could be lost or doubled.
	writes := req.Method != http.MethodGet && req.Method != http.MethodHead && r.service != "identity"
	c.opts.Faults.Call(w, req, faults.Action{Name: r.name(), Mutating: writes}, func(w http.ResponseWriter, req *http.Request) {
		out, err := c.perform(r, req, body)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		write(w, out)
	})
}

// refuse answers with an error.
func (c *Cloud) refuse(w http.ResponseWriter, r route, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: 500, kind: "HTTPInternalServerError", message: err.Error()}
	}
	c.opts.Log.Debug("call refused", "action", r.name(), "status", e.status, "err", err)
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+c.opts.URL+`/v3"`)
	}
	writeError(w, r.service, e)
}

// perform runs a route under the lock.
func (c *Cloud) perform(r route, req *http.Request, body []byte) (answer, error) {
	if c.opts.Faults.Throttled() {
		after := cmp.Or(int(c.opts.RetryAfter/time.Second), 1)
		if c.opts.RetryAfter < 0 {
			after = 0
		}
		return answer{}, &apiError{status: 429, kind: "OverLimit", message: "This request was rate-limited.", after: after}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.open && !c.authorizedLocked(req.Header.Get("X-Auth-Token")) {
		return answer{}, fault(401, "The request you have made requires authentication.")
	}
	// A client that goes away does not undo half a call.
	ctx := context.WithoutCancel(req.Context())
	cl := &call{Cloud: c, ctx: ctx, req: req, body: body}
	if r.service == "compute" {
		var err error
		if cl.micro, err = negotiate(req.Header); err != nil {
			return answer{}, err
		}
	}
	c.settleLocked(ctx)
	out, err := r.do(cl)
	if err == nil && r.service == "compute" {
		if out.header == nil {
			out.header = map[string]string{}
		}
		out.header["OpenStack-API-Version"] = "compute " + cl.micro.String()
		out.header["X-OpenStack-Nova-API-Version"] = cl.micro.String()
		out.header["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
	}
	return out, err
}

// write sends an answer.
func write(w http.ResponseWriter, a answer) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	out, err := json.Marshal(a.body)
	if err != nil {
		writeError(w, "", &apiError{status: 500, message: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(out) // the client may be gone
}

// writeError sends an error in the form of a service.
func writeError(w http.ResponseWriter, service string, e *apiError) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Openstack-Request-Id", "req-"+uuid.NewString())
	if e.after > 0 {
		w.Header().Set("Retry-After", itoa(e.after))
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(encodeError(service, e)) // the client may be gone
}
