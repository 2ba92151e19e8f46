package azure

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// status is how far an operation is, as ARM writes it.
type status string

// The states of an operation.
const (
	statusRunning   status = "InProgress"
	statusSucceeded status = "Succeeded"
	statusFailed    status = "Failed"
)

// operation is something that goes on after its request was answered.
type operation struct {
	id             string
	provider       string // Microsoft.Network ...
	region         string
	started, ended time.Time
	status         status
	fault          *apiError // of a failed one
	ready          func() bool
	finish         func(*call) *apiError
}

// begin starts an operation and puts where to ask about it into the answer. It
// is finished, under the lock, when ready says so.
func (c *call) begin(provider, region string, ready func() bool, finish func(*call) *apiError) *operation {
	o := &operation{
		id: uuid.NewString(), provider: provider, region: region, started: c.now(), status: statusRunning, ready: ready, finish: finish,
	}
	c.operations.Put(o.id, o)
	if c.header != nil {
		base := c.opts.URL + "/subscriptions/" + c.subscription
		if provider != resources { // ARM's own operations have the older address alone
			base += "/providers/" + provider + "/locations/" + region
			c.header.Set("Azure-AsyncOperation", base+"/operations/"+o.id+"?api-version="+c.version)
		}
		if c.req.Method != http.MethodPut {
			c.header.Set("Location", base+"/operationResults/"+o.id+"?api-version="+c.version)
		}
		c.header.Set("Retry-After", "1")
	}
	return o
}

// later starts an operation that lasts as long as those of Network do.
func (c *call) later(provider, region string, finish func(*call) *apiError) *operation {
	due := c.now().Add(c.opts.Latency)
	now := c.now
	return c.begin(provider, region, func() bool { return !now().Before(due) }, finish)
}

// showOperation answers a question about an operation.
func showOperation(c *call) (*http.Response, error) {
	o, ok := c.operations.Get(strings.ToLower(c.path.name))
	if !ok {
		return nil, fault(404, "NotFound", "Operation '%s' was not found.", c.path.name)
	}
	body := map[string]any{"name": o.id, "status": o.status, "startTime": o.started.UTC().Format(time.RFC3339Nano)}
	if o.status == statusRunning {
		c.header.Set("Retry-After", "1")
	} else {
		body["endTime"] = o.ended.UTC().Format(time.RFC3339Nano)
	}
	if o.fault != nil {
		body["error"] = o.fault
	}
	return answer(http.StatusOK, body), nil
}

// showResult answers at the older of the two addresses of an operation: 202 for
// as long as it goes on.
func showResult(c *call) (*http.Response, error) {
	o, ok := c.operations.Get(strings.ToLower(c.path.name))
	switch {
	case !ok:
		return nil, fault(404, "NotFound", "Operation '%s' was not found.", c.path.name)
	case o.status == statusRunning:
		c.header.Set("Location", c.opts.URL+c.req.URL.Path+"?"+c.req.URL.RawQuery)
		c.header.Set("Retry-After", "1")
		return answer(http.StatusAccepted, nil), nil
	case o.fault != nil:
		return nil, o.fault
	}
	return answer(http.StatusOK, nil), nil
}

// answer makes a response that no fake server wrote.
func answer(status int, body any) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	if body != nil {
		text, _ := json.Marshal(body) // cannot fail: see the callers
		resp.Body = bodyOf(text)
		resp.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	return resp
}
