package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswer is the size in bytes of the largest answer the client reads.
	maxAnswer = 32 << 20
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 5 * time.Second
	// headerTimeout bounds the wait for the first byte of an answer. A plan asks
	// every cloud of the spec for its machine types, which takes a while.
	headerTimeout = 2 * time.Minute
	// retryPause is the wait between two attempts to reach the server.
	retryPause = 500 * time.Millisecond
)

// Client calls one server's API. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token Secret
	http  *http.Client
	retry time.Duration
	log   *slog.Logger
	// notice is told of the first failure of a call that is tried again.
	notice func(err error, d time.Duration)
}

// Option changes how a client works.
type Option func(*Client)

// WithTransport makes the client send by rt, which then decides about TLS. Tests
// put faults between client and server this way.
func WithTransport(rt http.RoundTripper) Option {
	return func(c *Client) { c.http.Transport = rt }
}

// WithRetry makes the client try again for the duration d while the server
// refuses connections or drops a watch. The default is 30 s; 0 is never.
func WithRetry(d time.Duration) Option {
	return func(c *Client) { c.retry = d }
}

// WithLog makes the client log every attempt of a call, at level debug. Headers
// and bodies are not logged.
func WithLog(log *slog.Logger) Option {
	return func(c *Client) { c.log = log }
}

// WithRetryNotice makes the client call f when a call has failed for the first
// time and is tried again for the duration d.
func WithRetryNotice(f func(err error, d time.Duration)) Option {
	return func(c *Client) { c.notice = f }
}

// NewClient returns a client of the server that ctx names. It trusts the CA of
// the context alone.
func NewClient(ctx Context, opts ...Option) (*Client, error) {
	if err := ctx.validate(); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	}
	base, err := url.Parse(ctx.URL)
	if err != nil {
		return nil, fmt.Errorf("context: url: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ctx.CA))
	c := &Client{base: base, token: ctx.Token, retry: 30 * time.Second, log: slog.New(slog.DiscardHandler), notice: func(error, time.Duration) {}, http: &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: headerTimeout,
			ForceAttemptHTTP2:     true,
		},
		// The token must not follow a redirect to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, o := range opts {
		o(c)
	}
	return c, nil
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one call.
type request struct {
	method string
	path   []string // segments after /v1, not escaped
	query  url.Values
	body   any // sent as JSON; nil for none
	accept string
	header http.Header
	// once is set on a call that must not be made twice. The others are sent
	// again when the connection is lost before the answer.
	once bool
}

// do makes the call and decodes the answer into out, unless out is nil.
func (c *Client) do(ctx context.Context, r request, out any) error {
	resp, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer of %s %s: %w", r.method, resp.Request.URL.Path, err)
	}
	return nil
}

// open makes the call and returns a successful answer whose body the caller
// closes. While the server cannot be reached it tries again, see [WithRetry].
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return nil, fmt.Errorf("request: %w", err)
		}
	}
	for _, segment := range r.path {
		if segment == "" || segment == "." || segment == ".." {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf("%q is no name", segment)}
		}
	}
	giveUp, told := time.Now().Add(c.retry), false
	for {
		resp, err := c.try(ctx, r, body)
		if err == nil {
			return resp, nil
		}
		if !again(r, err) || time.Now().Add(retryPause).After(giveUp) {
			return nil, err
		}
		if !told {
			told = true
			c.notice(err, c.retry)
		}
		if err := pause(ctx, retryPause); err != nil {
			return nil, err
		}
	}
}

// try makes the call once.
func (c *Client) try(ctx context.Context, r request, body []byte) (*http.Response, error) {
	u := c.base.JoinPath("v1")
	for _, segment := range r.path {
		u = u.JoinPath(url.PathEscape(segment))
	}
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+string(c.token))
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.log.Debug("call failed", "method", r.method, "path", req.URL.RequestURI(), "took", time.Since(start), "err", unwrapURL(err))
		return nil, fmt.Errorf("server %s: %w", c.base.Host, unwrapURL(err))
	}
	c.log.Debug("call answered", "method", r.method, "path", req.URL.RequestURI(), "status", resp.StatusCode, "took", time.Since(start), "request", resp.Header.Get("X-Request-Id"))
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readProblem(resp)
}

// unwrapURL drops the method and URL that net/http puts before every error.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// again reports whether a call that failed with err may be made once more: when
// no connection stood, or when one was lost and the call bears it. What the
// server has answered stands, and so does its certificate.
func again(r request, err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, ok := errors.AsType[*Problem](err); ok || r.once {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// readProblem turns an answer that is no success into an error.
func readProblem(resp *http.Response) error {
	p := &Problem{Status: resp.StatusCode}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("answer %d: %w", resp.StatusCode, err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		// What cannot be decoded still has its status.
		_ = json.Unmarshal(data, p)
	}
	p.Status = resp.StatusCode
	if p.Detail == "" && p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	p.RequestID = resp.Header.Get("X-Request-Id")
	return p
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
