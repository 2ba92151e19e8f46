package guard

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Transport paces the requests of one account: each kind of call (read, write,
// delete) in each region has a token bucket, as clouds have. It notes every
// request in the metrics and the debug log of the guard whose driver makes it,
// by the vendor's name of the call, never by its contents.
type Transport struct {
	next http.RoundTripper
	opt  Options

	mu      sync.Mutex // guards buckets
	buckets map[bucketKey]*bucket
}

type bucketKey struct {
	region string
	kind   apiKind
}

// NewTransport returns a transport that sends requests through next, nil for
// http.DefaultTransport, at the rates of opt. One account should have one, and
// one driver, guarded by [New].
func NewTransport(next http.RoundTripper, opt Options) *Transport {
	if next == nil {
		next = http.DefaultTransport
	}
	return &Transport{next: next, opt: opt.withDefaults(), buckets: map[bucketKey]*bucket{}}
}

// RoundTrip implements http.RoundTripper. The error wraps cloud.ErrThrottled if
// the context ends before the request's turn comes: it was not sent.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	api, req, err := identify(req)
	if err != nil {
		return nil, err
	}
	s := stepOf(req.Context())
	b := t.bucket(s, api.kind)
	if err := s.wait(req.Context(), b); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	start := time.Now()
	resp, err := t.next.RoundTrip(req)
	t.note(s, api, b, resp, time.Since(start), err)
	return resp, err
}

// bucket returns the bucket of a call.
func (t *Transport) bucket(s *step, kind apiKind) *bucket {
	key := bucketKey{kind: kind}
	if s != nil {
		key.region = s.c.region
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buckets[key]
	if b == nil {
		b = newBucket(t.opt.Rate, t.opt.MinRate)
		t.buckets[key] = b
	}
	return b
}

func (t *Transport) note(s *step, api apiCall, b *bucket, resp *http.Response, took time.Duration, err error) {
	status := "none"
	if resp != nil {
		status = strconv.Itoa(resp.StatusCode)
	}
	ok := resp != nil && resp.StatusCode < 400
	if ok {
		b.heed(nil)
	}
	s.note(api, b, !ok)
	if s == nil {
		return
	}
	s.g.opt.Metrics.api(s, api, status, took)
	s.g.opt.Metrics.rate(s, api.kind, b)
	// The name of the call alone: URL, headers and body hold signatures,
	// tokens and user-data.
	s.g.opt.Log.Debug("cloud API call", "provider", s.g.d.Provider(), "account", s.g.opt.Account, "region", s.c.region,
		"call", api.name, "object", s.c.object, "status", status, "took", took, "err", clean(err))
}
