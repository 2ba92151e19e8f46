package alibaba

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds an answer, in bytes; a page of the longest list has less
// than a tenth of it.
const maxAnswer = 16 << 20

// strict carries one request under a context, and lets through nothing but an
// answer of Alibaba's. The SDK reads a success with any other body (a proxy's
// page, nothing at all) as an empty result, and an empty list would mean that
// nothing exists; and it panics on errors of another form.
type strict struct {
	ctx  context.Context // of the one call: the SDK takes none
	next http.RoundTripper
}

// errNotAlibaba is an answer of somebody else.
var errNotAlibaba = errors.New("the answer is not Alibaba's")

// refusal is an answer that is not a success.
type refusal struct {
	status  int
	after   string // Retry-After
	Code    string
	Message string
	ID      string `json:"RequestId"`
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d %s: %s", r.status, r.Code, r.Message) }

// RoundTrip implements http.RoundTripper.
func (s *strict) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req.WithContext(s.ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	r := refusal{status: resp.StatusCode, after: resp.Header.Get("Retry-After")}
	parsed := len(body) <= maxAnswer && json.Unmarshal(body, &r) == nil
	if resp.StatusCode >= 300 || resp.StatusCode < 200 {
		return nil, &r // without a code if it is not Alibaba's
	}
	if !parsed || r.ID == "" {
		return nil, errNotAlibaba
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
