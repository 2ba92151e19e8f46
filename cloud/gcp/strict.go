package gcp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
)

// strict refuses answers that are not Compute Engine's. The SDK reads any JSON
// object as a result, and an empty list would mean that nothing exists.
type strict struct{ next http.RoundTripper }

// errNotCompute is such an answer.
var errNotCompute = errors.New("the answer is not Compute Engine's")

// peek is how far into a body the kind of the answer is looked for, in bytes. It
// is the first member in Google's answers.
const peek = 512

// RoundTrip implements http.RoundTripper.
func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		return resp, err
	}
	if resp.StatusCode == http.StatusNoContent { // a deleted operation: the SDK wants an object
		resp.Body.Close()
		resp.Body = io.NopCloser(strings.NewReader("{}"))
		return resp, nil
	}
	r := bufio.NewReaderSize(resp.Body, peek)
	head, _ := r.Peek(peek) // an error comes again when the body is read
	if !bytes.Contains(head, []byte(`"compute#`)) {
		resp.Body.Close()
		return nil, errNotCompute
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{r, resp.Body}
	return resp, nil
}
