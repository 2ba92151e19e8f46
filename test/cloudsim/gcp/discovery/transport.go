package discovery

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Transport checks what goes through it. It changes nothing.
type Transport struct {
	api    *API
	next   http.RoundTripper
	report func(error)

	mu    sync.Mutex // guards the field below
	calls map[string]int
}

// Transport returns a transport that sends requests through next and reports
// what is wrong with them and with the replies. Requests to the OAuth 2.0 token
// endpoint are none of the API's.
func (a *API) Transport(next http.RoundTripper, report func(error)) *Transport {
	return &Transport{api: a, next: next, report: report, calls: map[string]int{}}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, "/token") {
		return t.next.RoundTrip(req)
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	m, err := t.api.checkRequest(req, body)
	if err != nil {
		t.report(err)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil || m == nil {
		return resp, err
	}
	reply, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(reply))
	if err := t.api.checkReply(m, resp.StatusCode, reply); err != nil {
		t.report(err)
	}
	t.mu.Lock()
	t.calls[m.ID]++
	t.mu.Unlock()
	return resp, nil
}

// Calls returns how many requests of each method had an answer, all of which
// were checked.
func (t *Transport) Calls() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]int, len(t.calls))
	for k, v := range t.calls {
		out[k] = v
	}
	return out
}
