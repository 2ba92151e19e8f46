package cloudtest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// ErrLost is what a caller gets in place of a lost answer.
var ErrLost = errors.New("connection lost before the answer")

// Lossy carries requests out and then loses the answers of some of those that
// change something: the cloud has done it and the caller does not know.
type Lossy struct {
	// Next does the work. Default: http.DefaultTransport.
	Next http.RoundTripper
	// Lose decides by the number of the changing call (from 0; refused ones do
	// not count), its name and a digest of what it asks for.
	Lose func(n int, call string, digest [32]byte) bool

	mu             sync.Mutex // guards the fields below
	calls, lost    []string
	reads, refused int
}

// RoundTrip implements http.RoundTripper.
func (l *Lossy) RoundTrip(req *http.Request) (*http.Response, error) {
	next := l.Next
	if next == nil {
		next = http.DefaultTransport
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
	resp, err := next.RoundTrip(req)
	if err != nil || !l.note(req, body, resp.StatusCode) {
		return resp, err
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return nil, ErrLost
}

// note counts a request and decides whether its answer is lost.
func (l *Lossy) note(req *http.Request, body []byte, status int) bool {
	call := changing(req, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	if call == "" {
		l.reads++
		return false
	}
	if status >= 300 {
		l.refused++
		return false
	}
	n := len(l.calls)
	l.calls = append(l.calls, call)
	digest := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", req.Method, asked(req.URL), body))
	if l.Lose == nil || !l.Lose(n, call, digest) {
		return false
	}
	l.lost = append(l.lost, call)
	return true
}

// asked is a URL without what differs each time that the same is asked for: the
// signature of query protocols, and what makes it unique.
func asked(u *url.URL) string {
	q := u.Query()
	for _, k := range []string{"Signature", "SignatureNonce", "Timestamp"} {
		q.Del(k)
	}
	return u.Path + "?" + q.Encode()
}

// Calls returns the names of the changing calls that the cloud has carried out
// so far, in order.
func (l *Lossy) Calls() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.calls...)
}

// Lost returns the names of the calls whose answers were lost.
func (l *Lossy) Lost() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lost...)
}

// Others returns the number of calls that changed nothing: those that read and
// those that were refused.
func (l *Lossy) Others() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads + l.refused
}

// id matches ids and the names that scenarios make up.
var id = regexp.MustCompile(`[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|[a-z_-]*(mesh|mcis)-[a-z0-9]{8}[a-z0-9_-]*`)

// changing returns the name of a call that changes something, "" for others:
// the Action of query protocols, else method and path.
func changing(req *http.Request, body []byte) string {
	action := req.URL.Query().Get("Action")
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
			action = form.Get("Action")
		}
	}
	switch {
	case strings.HasPrefix(action, "Describe"), strings.HasPrefix(action, "Get"), strings.HasPrefix(action, "List"):
		return ""
	case action != "":
		return action
	case req.Method == http.MethodGet, req.Method == http.MethodHead,
		strings.HasSuffix(req.URL.Path, "/auth/tokens"), strings.HasSuffix(req.URL.Path, "/token"), // Keystone; OAuth 2.0
		strings.HasSuffix(req.URL.Path, "/wait"): // for an operation of Compute Engine's
		return ""
	}
	return req.Method + " " + id.ReplaceAllString(req.URL.Path, "{id}")
}
