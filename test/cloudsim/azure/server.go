package azure

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/google/uuid"

	"github.com/cbnet-io/cbnet/test/cloudsim/faults"
)

// maxBody is the most that a request may carry, in bytes.
const maxBody = 4 << 20

// call is one request on its way through a route. The cloud is locked.
type call struct {
	*Cloud
	ctx     context.Context
	req     *http.Request
	path    path
	version string      // api-version
	header  http.Header // of the answer, beside what the fake server writes
}

// transport is one of Microsoft's fake servers.
type transport interface {
	Do(*http.Request) (*http.Response, error)
}

// Handler returns the endpoint: the token endpoint of Entra ID below /TENANT,
// the consoles' blobs below /blob, and ARM at /subscriptions. A route of ARM
// leads to one of Microsoft's fake servers by the name of a method of the SDK's,
// which the fake takes from the request's context.
func (c *Cloud) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", c.issueToken)
	mux.HandleFunc("GET /blob/{sas}/{vm}", c.showBlob)
	mux.HandleFunc("/", c.arm)
	return mux
}

// arm answers one request to ARM, under the faults in force.
func (c *Cloud) arm(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, maxBody+1))
	switch {
	case err != nil:
		refuse(w, fault(400, "InvalidRequestContent", "The request content could not be read."))
		return
	case len(body) > maxBody:
		refuse(w, fault(413, "RequestContentTooLarge", "The request content size exceeds the maximum size of %d bytes.", maxBody))
		return
	}
	r, p, ok := c.route(req)
	if !ok {
		refuse(w, fault(404, "InvalidResourceType", "The resource type could not be found for '%s %s'.", req.Method, req.URL.Path))
		return
	}
	c.opts.Faults.Call(w, req, faults.Action{Name: r.name(), Mutating: r.changes()}, func(w http.ResponseWriter, req *http.Request) {
		if req.Body = bodyOf(body); len(body) == 0 {
			req.Body = nil // as the fake servers want it
		}
		resp, header, err := c.perform(r, p, req)
		if err != nil {
			var e *apiError
			if !errors.As(err, &e) {
				e = malformed(err, len(body))
			}
			c.opts.Log.Debug("call refused", "action", r.name(), "status", e.status, "err", err)
			for k, v := range header {
				w.Header()[k] = v
			}
			refuse(w, e)
			return
		}
		write(w, resp, header)
	})
}

// malformed tells a body that the fake server could not read from a fault of
// this package's.
func malformed(err error, body int) *apiError {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) || body > 0 && strings.Contains(err.Error(), "unmarshalling type") {
		return fault(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized: '%s'.", err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "unexpected end of JSON") {
		return fault(400, "InvalidRequestContent", "The request content was invalid: '%s'.", err)
	}
	return fault(500, "InternalServerError", "%s", err)
}

// perform runs a route under the lock.
func (c *Cloud) perform(r route, p path, req *http.Request) (*http.Response, http.Header, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	header := http.Header{}
	if e := c.authorizeLocked(req); e != nil {
		header.Set("WWW-Authenticate", `Bearer authorization_uri="`+c.opts.URL+"/"+c.tenant+`", error="invalid_token", error_description="`+e.message+`"`)
		return nil, header, e
	}
	if c.opts.Faults.Throttled() {
		e := fault(429, "TooManyRequests", "The request is being throttled as the limit has been reached for operation type - %s.", r.method)
		if e.after = cmp.Or(int(c.opts.RetryAfter/time.Second), 1); c.opts.RetryAfter < 0 {
			e.after = 0
		}
		return nil, header, e
	}
	version := req.URL.Query().Get("api-version")
	if !versionRule.MatchString(version) {
		return nil, header, fault(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if p.subscription != "" && !strings.EqualFold(p.subscription, c.subscription) {
		return nil, header, fault(404, "SubscriptionNotFound", "The subscription '%s' could not be found.", p.subscription)
	}
	// A client that goes away does not undo half a call.
	ctx := context.WithoutCancel(req.Context())
	cl := &call{Cloud: c, ctx: ctx, req: req, path: p, version: version, header: header}
	c.settleLocked(ctx)
	if err := cl.admit(r); err != nil {
		return nil, header, err
	}
	if r.own != nil {
		resp, err := r.own(cl)
		return resp, header, err
	}
	resp, err := r.fake(cl).Do(req.WithContext(context.WithValue(ctx, runtime.CtxAPINameKey{}, r.api)))
	return resp, header, err
}

var versionRule = regexp.MustCompile(`^20\d\d-\d\d-\d\d(-preview)?$`)

// admit checks what ARM itself checks before it asks a provider.
func (c *call) admit(r route) error {
	if p := strings.ToLower(c.path.provider); p != "" && !c.registered[p] {
		return fault(409, "MissingSubscriptionRegistration", "The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", c.path.provider)
	}
	if c.path.location != "" && c.regionOf(c.path.location) == nil {
		return fault(400, "NoRegisteredProviderFound", "No registered resource provider found for location '%s' and API version '%s' for type 'locations/%s'. The supported locations are '%s'.",
			c.path.location, c.version, c.path.kind, strings.Join(c.regionNames(), ", "))
	}
	if c.path.group == "" || r.ofGroup {
		return nil
	}
	g, ok := c.groups.Get(c.path.groupID())
	switch {
	case !ok:
		return fault(404, "ResourceGroupNotFound", "Resource group '%s' could not be found.", c.path.group)
	case g.deleting && r.method == http.MethodPut:
		return fault(409, "ResourceGroupBeingDeleted", "The resource group '%s' is in deprovisioning state and cannot perform this operation.", c.path.group)
	}
	return nil
}

// write sends what a fake server answered, as ARM would.
func write(w http.ResponseWriter, resp *http.Response, header http.Header) {
	defer resp.Body.Close()
	for k, v := range resp.Header {
		if k != "Fake-Poller-Status" { // the fakes' own protocol
			w.Header()[k] = v
		}
	}
	for k, v := range header {
		w.Header()[k] = v
	}
	w.Header().Set("X-Ms-Request-Id", uuid.NewString())
	w.Header().Set("X-Ms-Correlation-Request-Id", uuid.NewString())
	if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusNoContent {
		w.Header().Del("Content-Type")
		w.WriteHeader(resp.StatusCode)
		return
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		refuse(w, fault(500, "InternalServerError", "%s", err))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // the client may be gone
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, e *apiError) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Ms-Failure-Cause", "gateway")
	w.Header().Set("X-Ms-Request-Id", uuid.NewString())
	if e.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.after))
	}
	w.WriteHeader(e.status)
	text, _ := json.Marshal(map[string]any{"error": e}) // cannot fail: strings only
	_, _ = w.Write(text)                                // the client may be gone
}

func bodyOf(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
